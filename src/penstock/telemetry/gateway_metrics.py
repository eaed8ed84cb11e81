"""The gateway's metrics, as Prometheus reads them from its `/metrics`.

Rates of `requests_received_total` are the demand, whether served or not. Histograms have edges at the SLO targets, so
that a percentile near the target is not an interpolation across it, and fine geometric edges for token counts, so
that mean and p95 of ISL and OSL can be read from them.
"""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from penstock.telemetry.edge_counts import EdgeCounts

PREFIX = "penstock_gateway_"
LATENCY_EDGES_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75),
    *(1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600),
)
ITL_EDGES_S = (
    *(0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.0125, 0.015, 0.0175, 0.02, 0.025, 0.03, 0.035),
    *(0.04, 0.05, 0.06, 0.075, 0.1, 0.125, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5, 10, 30),
)
# A quarter of an octave apart: a percentile read from them is off by at most 19 %, interpolated much less.
TOKEN_EDGES = tuple(sorted({round(2 ** (quarter / 4)) for quarter in range(81)}))  # 1 to 1,048,576
_AROUND_TARGET = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0)


def edges_around(edges: Iterable[float], target_s: float) -> tuple[float, ...]:
    """These edges, and more of them at and around a target."""
    return tuple(sorted({*map(float, edges), *(float(f"{target_s * factor:.6g}") for factor in _AROUND_TARGET)}))


class GatewayMetrics:
    """All metrics of one gateway, in a registry of its own."""

    def __init__(self, *, slo_ttft_s: float, slo_itl_s: float) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter(
            "requests", "Completion requests answered, by HTTP status (499: client left).", "code"
        )
        self._retries = self._counter(
            "retries", "Times that a request was given to a worker again, by reason.", "reason"
        )
        self._refused = self._counter("refused", "Requests refused before they were understood, by code.", "code")
        self.received = self._counter("requests_received", "Completion requests that arrived: the demand.")
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens of completed requests.")
        self.prompt_tokens_cached = self._counter("prompt_tokens_cached", "Prompt tokens found in a worker's KV cache.")
        self.output_tokens = self._counter("output_tokens", "Tokens that workers generated.")
        self.streams_broken = self._counter(
            "streams_broken", "Answers cut after their first byte, since a worker was lost."
        )
        self.fallbacks = self._counter(
            "prefill_fallbacks", "Requests served by decode alone, since prefill or its KV failed."
        )
        self.internal_errors = self._counter("internal_errors", "Faults of the gateway itself; the log has each.")
        self.kv_event_gaps = self._counter("kv_event_gaps", "Gaps in the sequence of a worker's KV events.")
        self.kv_rebuilds = self._counter(
            "kv_index_rebuilds", "Times that a worker's part of the prefix index was dropped."
        )
        self.in_flight = Gauge(
            PREFIX + "requests_in_flight", "Completion requests being served or held.", registry=self.registry
        )
        self.held = Gauge(PREFIX + "held_requests", "Requests held because no worker is ready.", registry=self.registry)
        self.workers = Gauge(PREFIX + "workers", "Workers that requests may go to.", registry=self.registry)
        latency = edges_around(LATENCY_EDGES_S, slo_ttft_s)
        self.time_to_first_token = self._histogram(
            "time_to_first_token_seconds", "From a request's arrival to its first token, streamed requests.", latency
        )
        self.inter_token_latency = self._histogram(
            "inter_token_latency_seconds",
            "Between two tokens of a stream.",
            edges_around(ITL_EDGES_S, slo_itl_s),
        )
        self.request_duration = self._histogram(
            "request_duration_seconds", "From a request's arrival to the end of its answer.", latency
        )
        self.request_prompt_tokens = self._histogram(
            "request_prompt_tokens", "Prompt length of requests on arrival (ISL).", TOKEN_EDGES
        )
        self.request_output_tokens = self._histogram(
            "request_output_tokens", "Output length of completed requests (OSL).", TOKEN_EDGES
        )
        self._by_code: dict[int, Callable[[], None]] = {}

    def answered(self, code: int) -> None:
        """A completion request was answered."""
        count = self._by_code.get(code)
        if count is None:
            count = self._by_code[code] = self._requests.labels(str(code)).inc  # bound once: it is on the hot path
        count()

    def retried(self, reason: str) -> None:
        """A request is given to a worker again."""
        self._retries.labels(reason).inc()

    def refused(self, code: str) -> None:
        """Something was refused before it was a completion request."""
        self._refused.labels(code).inc()

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, edges: Sequence[float]) -> EdgeCounts:
        histogram = EdgeCounts(PREFIX + name, documentation, edges)
        self.registry.register(histogram)
        return histogram
