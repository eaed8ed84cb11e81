"""The simulated worker's metrics, under vLLM's own names, labels and histogram edges.

What scrapes a real vLLM then scrapes this one unchanged. Knows nothing of the engine: the worker counts and observes
here, and `gauges` tells what holds at the moment of a scrape.

Left out: `nixl_bytes_transferred` (a simulated KV cache has no bytes) and metrics of features that it lacks (LoRA,
speculation, several modalities). Added, under our own name: how far this process fell behind the engine that it
simulates, because its machine was too busy; latencies of a run in which it grew are not the simulated engine's.

Source: docs.vllm.ai, "Production metrics"; vllm/v1/metrics/loggers.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.telemetry.edge_counts import EdgeCounts

TTFT_EDGES_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
ITL_EDGES_S = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0),
)
REQUEST_EDGES_S = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0),
    *(960.0, 1920.0, 7680.0),
)
TRANSFER_EDGES_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 5.0)
FINISHED_REASONS = ("stop", "length", "abort", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineGauges:
    """What holds right now.

    Args:
        waiting: requests in the engine's queue, for lack of room.
        deferred: requests that wait for something else: KV on its way from a prefill worker.
        kv_usage: 0 to 1.
    """

    running: int
    waiting: int
    deferred: int
    kv_usage: float


class VllmMetrics(Collector):
    """All metrics of one simulated engine, in a registry of its own.

    Args:
        gauges: called once a scrape.
    """

    def __init__(
        self,
        *,
        model_name: str,
        num_gpu_blocks: int,
        block_size: int,
        max_model_len: int,
        gauges: Callable[[], EngineGauges],
        engine: str = "0",
    ) -> None:
        self._labels = ("model_name", "engine")
        self._values = (model_name, engine)
        self._blocks = (str(num_gpu_blocks), str(block_size))
        self._gauges = gauges
        # Prompt tokens by where their KV came from, counted when a request's first token is out.
        self.prompt_computed = 0
        self.prompt_cached = 0
        self.prompt_transferred = 0
        self.generation_tokens = 0
        self.preemptions = 0
        self.prefix_queries = 0
        self.prefix_hits = 0
        self.external_queries = 0
        self.external_hits = 0
        self.failed_transfers = 0
        self.lag_s = 0.0
        self.finished = dict.fromkeys(FINISHED_REASONS, 0)
        lengths = _one_two_five(max_model_len)
        self.ttft = self._histogram("time_to_first_token_seconds", "Time to first token.", TTFT_EDGES_S)
        self.itl = self._histogram("inter_token_latency_seconds", "Time between two tokens of a request.", ITL_EDGES_S)
        self.e2e = self._histogram("e2e_request_latency_seconds", "Arrival to last token.", REQUEST_EDGES_S)
        self.queue = self._histogram("request_queue_time_seconds", "Arrival to first scheduled.", REQUEST_EDGES_S)
        self.prefill = self._histogram(
            "request_prefill_time_seconds", "First scheduled to first token.", REQUEST_EDGES_S
        )
        self.decode = self._histogram("request_decode_time_seconds", "First token to last token.", REQUEST_EDGES_S)
        self.inference = self._histogram(
            "request_inference_time_seconds", "First scheduled to last token.", REQUEST_EDGES_S
        )
        self.request_prompt = self._histogram("request_prompt_tokens", "Prompt tokens of finished requests.", lengths)
        self.request_generation = self._histogram(
            "request_generation_tokens", "Generated tokens of finished requests.", lengths
        )
        self.transfer = self._histogram(
            "nixl_xfer_time_seconds", "Reading a prompt's KV from a prefill worker.", TRANSFER_EDGES_S
        )
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        now = self._gauges()
        yield self._gauge("num_requests_running", "Requests in the running batch.", now.running)
        yield self._gauge("num_requests_waiting", "Requests that wait.", now.waiting + now.deferred)
        by_reason = GaugeMetricFamily(
            "vllm:num_requests_waiting_by_reason", "Requests that wait, by why.", labels=(*self._labels, "reason")
        )
        by_reason.add_metric((*self._values, "capacity"), now.waiting)
        by_reason.add_metric((*self._values, "deferred"), now.deferred)
        yield by_reason
        yield self._gauge("kv_cache_usage_perc", "KV blocks in use, 0 to 1.", now.kv_usage)
        asleep = GaugeMetricFamily(
            "vllm:engine_sleep_state", "1 for the state that the engine is in.", labels=(*self._labels, "sleep_state")
        )
        for state, value in (("awake", 1), ("weights_offloaded", 0), ("discard_all", 0)):
            asleep.add_metric((*self._values, state), value)
        yield asleep
        config = GaugeMetricFamily(
            "vllm:cache_config_info", "The KV cache's size.", labels=(*self._labels, "num_gpu_blocks", "block_size")
        )
        config.add_metric((*self._values, *self._blocks), 1)
        yield config

        prompt = self.prompt_computed + self.prompt_cached + self.prompt_transferred
        yield self._counter("prompt_tokens", "Prompt tokens processed.", prompt)
        yield self._counters(
            "prompt_tokens_by_source",
            "Prompt tokens, by where their KV came from.",
            "source",
            {
                "local_compute": self.prompt_computed,
                "local_cache_hit": self.prompt_cached,
                "external_kv_transfer": self.prompt_transferred,
            },
        )
        yield self._counter("generation_tokens", "Tokens generated.", self.generation_tokens)
        yield self._counters("request_success", "Requests that ended, by why.", "finished_reason", self.finished)
        yield self._counter("num_preemptions", "Times that a request lost its KV blocks.", self.preemptions)
        yield self._counter("prefix_cache_queries", "Tokens looked up in the prefix cache.", self.prefix_queries)
        yield self._counter("prefix_cache_hits", "Tokens found in the prefix cache.", self.prefix_hits)
        yield self._counter("external_prefix_cache_queries", "Tokens looked up elsewhere.", self.external_queries)
        yield self._counter("external_prefix_cache_hits", "Tokens whose KV came from elsewhere.", self.external_hits)
        yield self._counter("nixl_num_failed_transfers", "KV reads that failed.", self.failed_transfers)
        lag = CounterMetricFamily(
            "penstock_worker_lag_seconds",
            "How far the schedule was moved, the machine being too busy.",
            labels=self._labels,
        )
        lag.add_metric(self._values, self.lag_s)
        yield lag
        for histogram in (
            *(self.ttft, self.itl, self.e2e, self.queue, self.prefill, self.decode, self.inference),
            *(self.request_prompt, self.request_generation, self.transfer),
        ):
            yield from histogram.collect()

    def _histogram(self, name: str, documentation: str, edges: Sequence[float]) -> EdgeCounts:
        return EdgeCounts(f"vllm:{name}", documentation, edges, labels=self._labels, label_values=self._values)

    def _gauge(self, name: str, documentation: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"vllm:{name}", documentation, labels=self._labels)
        family.add_metric(self._values, value)
        return family

    def _counter(self, name: str, documentation: str, value: float) -> CounterMetricFamily:
        family = CounterMetricFamily(f"vllm:{name}", documentation, labels=self._labels)
        family.add_metric(self._values, value)
        return family

    def _counters(self, name: str, documentation: str, label: str, values: dict[str, int]) -> CounterMetricFamily:
        family = CounterMetricFamily(f"vllm:{name}", documentation, labels=(*self._labels, label))
        for value, count in values.items():
            family.add_metric((*self._values, value), count)
        return family


def _one_two_five(limit: int) -> tuple[float, ...]:
    """1, 2, 5, 10, ... up to the limit: vLLM's edges for lengths."""
    edges: list[float] = []
    decade = 1
    while True:
        for factor in (1, 2, 5):
            if factor * decade > limit:
                return tuple(edges)
            edges.append(float(factor * decade))
        decade *= 10
