"""Percentiles of weighted values: exact while there are few, within 0.5 % when there are millions, in bounded memory.

Values are counted as they are until `exact_values` distinct ones were seen; then they are folded into buckets whose
edges grow geometrically, and a percentile is the middle of its bucket. With edges a factor (1 + e) / (1 - e) apart,
that middle is off by at most e of the value (Masson, Rim, Lee: "DDSketch", VLDB 2019, section 2.2). At e = 0.5 % a
decade takes 231 buckets, so a nanosecond to a day about 3,200.

A percentile is by nearest rank: the smallest value that at least p percent of the weight does not exceed. So "p95 is
within target" says the same as "at least 95 % are within target", which can be counted.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

RELATIVE_ERROR: Final = 0.005  # of a percentile, once folded
EXACT_VALUES: Final = 50_000  # distinct values kept as they are: about 5 MB
_SMALLEST: Final = 1e-9  # below: counted as this; a nanosecond is no latency


def rank(weight: int, percentile: float) -> int:
    """The nearest rank of a percentile among `weight` values, from 1."""
    return max(1, math.ceil(weight * percentile / 100 - 1e-9))  # 99.9 % of 1,000 comes out a hair above 999


class LogHistogram:
    """A multiset of non-negative values that tells its mean exactly and its percentiles as the module says."""

    def __init__(self, *, exact_values: int = EXACT_VALUES, relative_error: float = RELATIVE_ERROR) -> None:
        self._exact_values = exact_values
        self._gamma = (1 + relative_error) / (1 - relative_error)
        self._log_gamma = math.log(self._gamma)
        self._exact: dict[float, int] | None = {}
        self._buckets: dict[int, int] = {}
        self._weight = 0
        self._total = 0.0
        self._max = 0.0

    @property
    def weight(self) -> int:
        """How many values were added, each as often as its weight says."""
        return self._weight

    @property
    def is_exact(self) -> bool:
        """Whether percentiles are still exact."""
        return self._exact is not None

    @property
    def mean(self) -> float | None:
        """The weighted mean; None while empty."""
        return self._total / self._weight if self._weight else None

    @property
    def max(self) -> float | None:
        """The largest value, exactly; None while empty."""
        return self._max if self._weight else None

    def add(self, value: float, weight: int = 1) -> None:
        """Count a value `weight` times. Raises: ValueError, if it is negative, not finite, or the weight is < 1."""
        if not (0 <= value < math.inf) or weight < 1:
            raise ValueError(f"a value must be finite and >= 0, its weight >= 1: {value}, {weight}")
        self._weight += weight
        self._total += value * weight
        self._max = max(self._max, value)
        if self._exact is None:
            self._add_to_bucket(value, weight)
            return
        self._exact[value] = self._exact.get(value, 0) + weight
        self._fold_if_many(self._exact)

    def add_each(self, values: Sequence[float]) -> None:
        """Count many values, each once; as `add`, but that it does not look at each: they are finite and >= 0."""
        if not values:
            return
        self._weight += len(values)
        self._max = max(self._max, max(values))
        exact, total = self._exact, self._total
        if exact is None:
            for value in values:
                total += value
                self._add_to_bucket(value, 1)
        else:
            for value in values:
                total += value
                exact[value] = exact.get(value, 0) + 1
            self._fold_if_many(exact)
        self._total = total

    def add_weighted(self, values: Sequence[tuple[float, int]]) -> None:
        """Count many (value, weight); as `add`, but that it does not look at each: finite and >= 0, weights >= 1."""
        if not values:
            return
        self._max = max(self._max, max(values)[0])
        exact, total, all_weight = self._exact, self._total, self._weight
        if exact is None:
            for value, weight in values:
                total += value * weight
                all_weight += weight
                self._add_to_bucket(value, weight)
        else:
            for value, weight in values:
                total += value * weight
                all_weight += weight
                exact[value] = exact.get(value, 0) + weight
            self._fold_if_many(exact)
        self._total, self._weight = total, all_weight

    def percentile(self, percentile: float) -> float | None:
        """The value at that percentile (0 to 100); None while empty."""
        return self.percentiles((percentile,))[0]

    def percentiles(self, percentiles: tuple[float, ...]) -> list[float | None]:
        """Several percentiles, in the order asked, in one pass over what is held."""
        if not self._weight:
            return [None] * len(percentiles)
        if self._exact is not None:
            values = sorted(self._exact)
            counts = [self._exact[value] for value in values]
        else:
            indices = sorted(self._buckets)
            values = [min(self._middle(index), self._max) for index in indices]
            counts = [self._buckets[index] for index in indices]
        passed = list(accumulate(counts))
        return [values[bisect_left(passed, rank(self._weight, each))] for each in percentiles]

    def _fold_if_many(self, exact: dict[float, int]) -> None:
        if len(exact) > self._exact_values:
            for value, weight in exact.items():
                self._add_to_bucket(value, weight)
            self._exact = None

    def _add_to_bucket(self, value: float, weight: int) -> None:
        index = math.ceil(math.log(max(value, _SMALLEST)) / self._log_gamma)
        self._buckets[index] = self._buckets.get(index, 0) + weight

    def _middle(self, index: int) -> float:
        """The value from which both edges of a bucket are equally far, relatively."""
        return float(2 * self._gamma**index / (self._gamma + 1))
