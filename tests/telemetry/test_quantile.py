"""PromQL's histogram_quantile: the cases of its source, worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.telemetry.quantile import histogram_quantile, share_within

INF = math.inf
FOUR = {0.1: 10.0, 0.2: 30.0, 0.4: 40.0, INF: 40.0}


@pytest.mark.parametrize(
    ("quantile", "expected"),
    [
        (0.0, 0.0),  # the lower edge of the first bucket
        (0.125, 0.05),  # rank 5 of 10 in (0, 0.1]
        (0.25, 0.1),
        (0.5, 0.15),  # rank 20: 10 of 20 in (0.1, 0.2]
        (0.95, 0.36),  # rank 38: 8 of 10 in (0.2, 0.4]
        (1.0, 0.4),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(quantile: float, expected: float) -> None:
    assert histogram_quantile(quantile, FOUR) == pytest.approx(expected)


def test_beyond_the_last_finite_edge_that_edge_is_the_answer() -> None:
    assert histogram_quantile(0.9, {1.0: 1.0, 2.0: 2.0, INF: 10.0}) == 2.0


def test_a_first_bucket_that_ends_at_or_below_zero_answers_its_edge() -> None:
    assert histogram_quantile(0.5, {-1.0: 8.0, 0.0: 9.0, INF: 10.0}) == -1.0
    assert histogram_quantile(0.85, {-1.0: 8.0, 0.0: 9.0, INF: 10.0}) == pytest.approx(-0.5)


@pytest.mark.parametrize(
    "buckets",
    [{}, {INF: 5.0}, {0.1: 5.0, 0.2: 5.0}, {0.1: 0.0, INF: 0.0}],
    ids=["nothing", "only +Inf", "no +Inf", "no observation"],
)
def test_where_promql_says_nan_there_is_no_data(buckets: dict[float, float]) -> None:
    assert histogram_quantile(0.95, buckets) is None


@pytest.mark.parametrize("total", [math.nan, INF])
def test_a_total_that_is_no_finite_number_is_no_data(total: float) -> None:
    """PromQL answers an edge there, which would be a figure made of nothing."""
    assert histogram_quantile(0.0, {0.1: total, INF: total}) is None
    assert histogram_quantile(0.95, {0.1: 1.0, INF: total}) is None


def test_counts_that_differ_by_float_noise_are_one_count() -> None:
    assert histogram_quantile(1.0, {0.1: 1.0, 0.2: 1.0 + 1.5e-12, INF: 1.0}) == 0.1
    assert histogram_quantile(1.0, {0.1: 1.0, 0.2: 1.0 + 3e-12, INF: 1.0}) == pytest.approx(0.2)


def test_out_of_range_quantiles_are_infinite_and_nan_is_no_data() -> None:
    assert histogram_quantile(-0.1, FOUR) == -INF
    assert histogram_quantile(1.1, FOUR) == INF
    assert histogram_quantile(math.nan, FOUR) is None
    assert histogram_quantile(1.1, {}) is None


def test_a_torn_scrape_is_made_monotonic() -> None:
    assert histogram_quantile(0.5, {0.1: 10.0, 0.2: 9.0, 0.4: 20.0, INF: 20.0}) == pytest.approx(0.1)


@given(
    counts=st.lists(st.integers(0, 50), min_size=3, max_size=12).filter(any),
    low=st.floats(0, 1),
    high=st.floats(0, 1),
)
def test_a_higher_quantile_is_never_lower(counts: list[int], low: float, high: float) -> None:
    buckets, total = {}, 0
    for edge, count in enumerate(counts, start=1):
        total += count
        buckets[INF if edge == len(counts) else float(edge)] = float(total)
    answers = [histogram_quantile(q, buckets) for q in sorted((low, high))]
    if None not in answers:
        assert answers[0] <= answers[1] + 1e-9


def test_the_share_within_an_edge_is_exact_and_elsewhere_unknown() -> None:
    assert share_within(0.2, FOUR) == 0.75
    assert share_within(0.3, FOUR) is None
    assert share_within(0.2, {0.2: 0.0, INF: 0.0}) is None
