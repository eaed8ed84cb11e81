"""What the gateway of the virtual cluster counts: the same series as the real one, read without text in between.

`scrape()` gives what a scrape of the gateway's `/metrics` would, to the same readers (`control.gateway_view`). Names,
edges and meanings: `telemetry.gateway_metrics`.
"""

from collections.abc import Mapping

from penstock.control import gateway_view
from penstock.messages.spec import SloSpec
from penstock.telemetry.gateway_metrics import ITL_EDGES_S, LATENCY_EDGES_S, TOKEN_EDGES, edges_around
from penstock.telemetry.histogram import Histogram

_PLAIN = {
    gateway_view.RECEIVED: "received",
    gateway_view.PROMPT_TOKENS: "prompt_tokens",
    gateway_view.CACHED_TOKENS: "cached_tokens",
    gateway_view.OUTPUT_TOKENS: "output_tokens",
    gateway_view.RETRIES: "retries",
    gateway_view.HELD: "held",
    gateway_view.IN_FLIGHT: "in_flight",
}


class GatewayCounters:
    """Counters, gauges and histograms of one virtual gateway."""

    def __init__(self, slo: SloSpec) -> None:
        latency = edges_around(LATENCY_EDGES_S, slo.ttft_s)
        self.ttft = Histogram(latency)
        self.itl = Histogram(edges_around(ITL_EDGES_S, slo.itl_s))
        self.duration = Histogram(latency)
        self.isl = Histogram(TOKEN_EDGES)
        self.osl = Histogram(TOKEN_EDGES)
        self.received = self.prompt_tokens = self.cached_tokens = self.output_tokens = self.retries = 0
        self.by_code = {"200": 0, "500": 0, "503": 0}
        self.held = self.in_flight = 0
        self._histograms = {
            gateway_view.TTFT: self.ttft,
            gateway_view.ITL: self.itl,
            gateway_view.DURATION: self.duration,
            gateway_view.ISL: self.isl,
            gateway_view.OSL: self.osl,
        }

    def total(self, name: str) -> float | None:
        """As `Scrape.total`."""
        attribute = _PLAIN.get(name)
        if attribute is not None:
            return float(getattr(self, attribute))
        histogram = self._histograms.get(name.removesuffix("_sum"))
        return histogram.total if histogram is not None else None

    def by(self, name: str, label: str) -> Mapping[str, float]:
        """As `Scrape.by`."""
        del label
        return {code: float(count) for code, count in self.by_code.items()} if name == gateway_view.ANSWERED else {}

    def buckets(self, histogram: str) -> dict[float, float]:
        """As `Scrape.buckets`."""
        return self._histograms[histogram].cumulative()
