"""A `Histogram` that Prometheus can scrape."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from penstock.telemetry.histogram import Histogram


class EdgeCounts(Histogram, Collector):
    """Counts by edge. Args: name: as Prometheus reads it, without the endings of buckets, sum and count."""

    __slots__ = ("_documentation", "_label_values", "_labels", "_name")

    def __init__(
        self,
        name: str,
        documentation: str,
        edges: Sequence[float],
        *,
        labels: Sequence[str] = (),
        label_values: Sequence[str] = (),
    ) -> None:
        super().__init__(edges)
        self._name = name
        self._documentation = documentation
        self._labels, self._label_values = labels, label_values

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Cumulative counts, as Prometheus wants them."""
        buckets = [
            (floatToGoString(bound), float(count))  # type: ignore[no-untyped-call]
            for bound, count in self.cumulative().items()
        ]
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        family.add_metric(self._label_values, buckets, self.total)
        yield family
