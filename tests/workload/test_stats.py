"""Statistics of small workloads, worked out by hand."""

import pytest

from penstock.errors import InputError
from penstock.workload.arrival import Arrival
from penstock.workload.stats import PrefixReuse, workload_stats
from penstock.workload.stats_page import stats_page
from penstock.workload.stats_table import stats_table


def test_figures_of_a_small_workload() -> None:
    """Five requests in 130 s."""
    stats = workload_stats(
        [Arrival(at_s, tokens, 2) for at_s, tokens in ((0, 10), (1, 20), (59, 30), (61, 40), (130, 50))]
    )
    assert (stats.requests, stats.duration_s) == (5, 130)
    assert stats.requests_by_minute == (3, 1, 1)
    assert stats.mean_per_s == pytest.approx(5 / 130)
    assert stats.peak_minute_per_s == pytest.approx(3 / 60)
    assert (stats.input_tokens.mean, stats.input_tokens.p50, stats.input_tokens.p95, stats.input_tokens.max) == (
        30,
        30,
        50,
        50,
    )
    assert (stats.total_input_tokens, stats.total_output_tokens) == (150, 10)


def test_even_gaps_have_no_burstiness() -> None:
    """One request each second: nothing varies."""
    stats = workload_stats([Arrival(second, 1, 1) for second in range(100)])
    assert stats.gap_cv == pytest.approx(0)
    assert stats.dispersion[10] == pytest.approx(0)


def test_a_short_last_minute_counts_by_its_length() -> None:
    """100 requests in the first minute, 90 in the next 40 s."""
    arrivals = [Arrival(n * 0.6, 1, 1) for n in range(100)] + [Arrival(60 + n * 0.44, 1, 1) for n in range(90)]
    assert workload_stats(arrivals).peak_minute_per_s == pytest.approx(90 / 40, rel=0.01)


def test_reuse_counts_leading_tokens_only() -> None:
    """A block after one that is new is no prefix hit, even if it was seen; a block seen in part counts in part."""
    reuse = PrefixReuse()
    assert reuse.add(Arrival(0, 20, 1, (1, 2), 16)) == 0
    assert reuse.add(Arrival(1, 40, 1, (1, 2, 3), 16)) == 20
    assert reuse.add(Arrival(2, 40, 1, (9, 2, 3), 16)) == 0
    assert reuse.add(Arrival(3, 40, 1, (1, 2, 3), 16)) == 40
    assert reuse.tokens_reused == 60
    assert reuse.distinct_blocks == 4


def test_reuse_is_counted_in_bounded_memory() -> None:
    """Beyond the bound the oldest block is forgotten, and the figures say so."""
    blocks = [Arrival(at, 1, 1, (at % 5,), 1) for at in range(20)]
    assert workload_stats(blocks, max_blocks=5).prefix_reuse == pytest.approx(0.75)
    small = workload_stats(blocks, max_blocks=4)
    assert (small.prefix_reuse, small.blocks_exceeded) == (0, True)
    assert "at least" in stats_table("t", "penstock", small)


def test_an_empty_stretch_is_an_error() -> None:
    """There is nothing to say of it."""
    with pytest.raises(InputError, match="no request"):
        workload_stats([])


def test_the_table_fits_a_terminal_and_the_page_works_offline() -> None:
    """At most 80 columns, even for a long name and a long trace; the page loads nothing."""
    stats = workload_stats([Arrival(at * 30, 10**6, 10**6, (at,)) for at in range(10_000)])
    table = stats_table("/a/long/path/" * 20 + "trace.csv", "azure", stats)
    assert max(len(line) for line in table.splitlines()) <= 80
    page = stats_page("<t>", "azure", stats)
    assert "Plotly.newPlot" in page
    assert "&lt;t&gt;" in page
    assert "<script src" not in page
