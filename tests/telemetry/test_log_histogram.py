"""Percentiles: exact by nearest rank, then within the stated error."""

import math
import random

import pytest

from penstock.telemetry.log_histogram import RELATIVE_ERROR, LogHistogram, rank


def _nearest_rank(values: list[float], percentile: float) -> float:
    ordered = sorted(values)
    return ordered[rank(len(ordered), percentile) - 1]


def test_few_values_give_exact_percentiles() -> None:
    """The 95th of 1 to 100 is 95, not between 95 and 96."""
    histogram = LogHistogram()
    for value in range(100, 0, -1):
        histogram.add(float(value))
    assert histogram.percentiles((99, 50, 95)) == [99.0, 50.0, 95.0]
    assert histogram.is_exact


def test_weights_count_as_repeats() -> None:
    """(0.01, 94 times) and (0.5, 6 times): the 94th percentile is the small one, the 95th the large one."""
    histogram = LogHistogram()
    histogram.add(0.5, 6)
    histogram.add(0.01, 94)
    assert histogram.percentiles((94, 95)) == [0.01, 0.5]
    assert histogram.mean == pytest.approx((0.5 * 6 + 0.01 * 94) / 100)


@pytest.mark.parametrize("percentile", [50, 95, 99, 99.9])
def test_folded_values_stay_within_the_stated_error(percentile: float) -> None:
    """Forty thousand log-normal latencies, folded early, against sorting them all."""
    generator = random.Random(7)
    values = [generator.lognormvariate(-1.5, 1.2) for _ in range(40_000)]
    histogram = LogHistogram(exact_values=100)
    for value in values:
        histogram.add(value)
    assert not histogram.is_exact
    exact = _nearest_rank(values, percentile)
    found = histogram.percentile(percentile)
    assert found is not None
    assert abs(found - exact) <= RELATIVE_ERROR * exact * (1 + 1e-9)
    assert histogram.mean == pytest.approx(math.fsum(values) / len(values))


def test_memory_is_bounded_once_folded() -> None:
    """A hundred thousand values over twelve decades leave a few thousand buckets."""
    generator = random.Random(3)
    histogram = LogHistogram(exact_values=1000)
    for _ in range(100_000):
        histogram.add(10 ** generator.uniform(-8, 4))
    assert len(histogram._buckets) < 3_000


def test_zero_is_a_value_and_an_empty_histogram_has_none() -> None:
    """Nothing measured is None; a measured nought is nought."""
    histogram = LogHistogram()
    assert histogram.percentile(95) is None
    assert histogram.mean is None
    histogram.add(0.0)
    assert histogram.percentile(95) == 0.0


@pytest.mark.parametrize(("value", "weight"), [(-1.0, 1), (math.nan, 1), (math.inf, 1), (1.0, 0)])
def test_what_is_no_latency_is_refused(value: float, weight: int) -> None:
    """A bug upstream shows where it happens, not as a strange percentile."""
    with pytest.raises(ValueError):
        LogHistogram().add(value, weight)


def test_rank_forgives_floating_point() -> None:
    """99.9 % of 1,000 is 999, though the product comes out a hair above."""
    assert rank(1000, 99.9) == 999
    assert rank(100, 95) == 95
    assert rank(1, 50) == 1


@pytest.mark.parametrize("exact_values", [10, 1000])
def test_many_at_once_count_as_one_by_one(exact_values: int) -> None:
    """Before, while and after they are folded, to the last bit."""
    generator = random.Random(11)
    one, many = LogHistogram(exact_values=exact_values), LogHistogram(exact_values=exact_values)
    for size in (0, 1, 7, 40, 300):
        values = [generator.expovariate(1) for _ in range(size)]
        for value in values:
            one.add(value)
        many.add_each(values)
        found = [
            (each.weight, each.is_exact, each.mean, each.max, each.percentiles((5, 50, 99))) for each in (one, many)
        ]
        assert found[0] == found[1]
