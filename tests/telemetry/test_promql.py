"""PromQL's rate, increase and instant selector, worked out by hand; tests/oracles has Prometheus itself beside them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.telemetry.promql import bucket_rates, increase, instant, rate

EVERY_15_S = [15_000, 30_000, 45_000, 60_000]


def test_growth_is_stretched_to_the_ends_of_the_window() -> None:
    """30 in the 45 s between samples; 5 s before and 10 s after them are covered too."""
    assert increase(EVERY_15_S, [100.0, 110.0, 120.0, 130.0], at_ms=70_000, window_ms=60_000) == pytest.approx(40.0)
    assert rate(EVERY_15_S, [100.0, 110.0, 120.0, 130.0], at_ms=70_000, window_ms=60_000) == pytest.approx(40 / 60)


def test_a_series_that_began_in_the_window_is_stretched_by_half_an_interval() -> None:
    assert increase(EVERY_15_S, [100.0, 110.0, 120.0, 130.0], at_ms=60_000, window_ms=300_000) == pytest.approx(35.0)


def test_a_counter_is_not_stretched_below_zero() -> None:
    """2 at first and 10 in 15 s: it was 0 only 3 s earlier."""
    assert increase(EVERY_15_S, [2.0, 12.0, 22.0, 32.0], at_ms=60_000, window_ms=60_000) == pytest.approx(32.0)


def test_a_reset_counts_from_zero_again() -> None:
    assert increase(EVERY_15_S, [100.0, 110.0, 4.0, 14.0], at_ms=60_000, window_ms=45_001) == pytest.approx(
        24.0, rel=0.01
    )


@pytest.mark.parametrize("at_ms", [0, 29_999, 75_000, 90_000])
def test_fewer_than_two_samples_have_no_rate(at_ms: int) -> None:
    """A range is open on the left: at 75 s a window of 30 s no longer holds the sample of 45 s."""
    assert rate(EVERY_15_S, [1.0, 2.0, 3.0, 4.0], at_ms=at_ms, window_ms=30_000) is None


def test_a_stale_marker_is_no_sample_of_a_range_and_ends_an_instant_selector() -> None:
    values = [1.0, 2.0, 3.0, None]
    assert rate(EVERY_15_S, values, at_ms=60_000, window_ms=30_000) is None
    assert instant(EVERY_15_S, values, at_ms=59_999) == 3.0
    assert instant(EVERY_15_S, values, at_ms=60_000) is None


def test_an_instant_selector_looks_back_five_minutes() -> None:
    assert instant([1000], [7.0], at_ms=999) is None
    assert instant([1000], [7.0], at_ms=300_999) == 7.0
    assert instant([1000], [7.0], at_ms=301_000) is None


def test_what_is_not_finite_stays_what_it_is() -> None:
    assert math.isnan(rate(EVERY_15_S, [1.0, math.nan, 2.0, math.nan], at_ms=60_000, window_ms=60_000) or 0.0)
    assert instant([0], [math.inf], at_ms=0) == math.inf


@given(data=st.data())
def test_the_rates_of_buckets_are_the_sums_of_each_buckets_rates(data: st.DataObject) -> None:
    """With restarts, processes that are gone, and times of their own."""
    counts = st.lists(st.integers(0, 50).map(float), min_size=3, max_size=3)
    scrapes = st.dictionaries(st.integers(0, 120_000), st.none() | counts, max_size=8)
    histograms = [
        ([at_ms for at_ms, _ in one], [row for _, row in one])
        for one in (
            sorted(found.items(), key=lambda item: item[0]) for found in data.draw(st.lists(scrapes, max_size=4))
        )
    ]
    at_ms, window_ms = data.draw(st.integers(0, 130_000)), data.draw(st.integers(1, 130_000))
    single = [
        [
            rate(times_ms, [None if row is None else row[column] for row in rows], at_ms=at_ms, window_ms=window_ms)
            for times_ms, rows in histograms
        ]
        for column in range(3)
    ]
    there = [[value for value in column if value is not None] for column in single]
    together = bucket_rates(histograms, at_ms=at_ms, window_ms=window_ms)
    assert together == (pytest.approx([math.fsum(column) for column in there], rel=1e-12) if there[0] else None)
