"""A histogram for one thread: counts by edge, a value may count many times.

Where values come by the token it stands in for prometheus_client's: no locks, a binary search instead of a walk along
the edges, and a step of a hundred sequences is one `observe` with a weight of a hundred.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate


class Histogram:
    """Counts by edge; a value on an edge counts below it."""

    __slots__ = ("_bounds", "_counts", "_edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = list(edges)
        self._bounds = [*self._edges, float("inf")]
        self._counts = [0] * len(self._bounds)
        self.total = 0.0  # the sum of all values

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, as often as `times`."""
        self._counts[bisect_left(self._edges, value)] += times
        self.total += value * times

    def observe_each(self, values: Iterable[float]) -> None:
        """Count many values, each once."""
        edges, counts, total = self._edges, self._counts, self.total
        for value in values:
            counts[bisect_left(edges, value)] += 1
            total += value
        self.total = total

    def observe_growing(self, first: float, growth: float, steps: int, times: int) -> None:
        """Count `first`, `first + growth`, ... `steps` values, each as often as `times`; `growth` is above 0."""
        edges, counts = self._edges, self._counts
        last = first + growth * (steps - 1)
        self.total += times * steps * (first + last) / 2
        at, done = bisect_left(edges, first), 0
        while at < len(edges) and edges[at] < last:
            below = min(steps, int((edges[at] - first) / growth) + 1)  # values that this edge still holds
            counts[at] += (below - done) * times
            done = below
            at += 1
        counts[at] += (steps - done) * times

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self._counts)

    def cumulative(self) -> dict[float, float]:
        """Counts of values up to each bound, infinity last."""
        return dict(zip(self._bounds, accumulate(self._counts), strict=True))
