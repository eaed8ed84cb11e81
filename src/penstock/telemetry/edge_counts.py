"""A histogram for one thread: counts by edge, a value may count many times.

Stands in for prometheus_client's Histogram where it counts per token: no locks, a binary search instead of a walk
along the edges, and a step of a hundred sequences is one `observe` with a weight of a hundred.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class EdgeCounts(Collector):
    """Counts by edge. Args: name: as Prometheus reads it, without the endings of buckets, sum and count."""

    __slots__ = ("_counts", "_documentation", "_edges", "_label_values", "_labels", "_name", "_sum")

    def __init__(
        self,
        name: str,
        documentation: str,
        edges: Sequence[float],
        *,
        labels: Sequence[str] = (),
        label_values: Sequence[str] = (),
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._edges = list(edges)
        self._labels, self._label_values = labels, label_values
        self._counts = [0] * (len(edges) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, as often as `times`."""
        self._counts[bisect_left(self._edges, value)] += times
        self._sum += value * times

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self._counts)

    @property
    def total(self) -> float:
        """Their sum."""
        return self._sum

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Cumulative counts, as Prometheus wants them."""
        buckets, seen = [], 0
        for edge, count in zip([*self._edges, float("inf")], self._counts, strict=True):
            seen += count
            buckets.append((floatToGoString(edge), float(seen)))  # type: ignore[no-untyped-call]
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        family.add_metric(self._label_values, buckets, self._sum)
        yield family
