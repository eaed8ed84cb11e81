"""What a virtual worker's `/metrics` would say, by vLLM's names, to the same readers as a real one's."""

from collections.abc import Mapping

from penstock.control import worker_view
from penstock.router.worker_info import WorkerLoad
from penstock.simulator.prometheus import VLLM_ITL, VLLM_TTFT
from penstock.simulator.virtual_worker import VirtualWorker
from penstock.telemetry.histogram import Histogram


class WorkerCounters:
    """One engine's counters at this instant."""

    def __init__(self, worker: VirtualWorker) -> None:
        self._latencies = worker.latencies()
        self._engine = worker.engine

    def total(self, name: str) -> float | None:
        """As `Scrape.total`."""
        engine = self._engine
        match name:
            case worker_view.RUNNING:
                return float(engine.running)
            case worker_view.WAITING:
                return float(engine.waiting)
            case worker_view.KV_USAGE:
                return engine.kv_usage
            case worker_view.PREFIX_QUERIES:
                return float(engine.prefix_queries)
            case worker_view.PREFIX_HITS:
                return float(engine.prefix_hits)
        histogram = self._histogram(name.removesuffix("_sum"))
        return histogram.total if histogram is not None else None

    def by(self, name: str, label: str) -> Mapping[str, float]:
        """As `Scrape.by`; nothing that a view reads has labels."""
        return {}

    def buckets(self, histogram: str) -> Mapping[float, float]:
        """As `Scrape.buckets`."""
        found = self._histogram(histogram)
        return found.cumulative() if found is not None else {}

    def _histogram(self, name: str) -> Histogram | None:
        if self._latencies is None or name not in (VLLM_TTFT, VLLM_ITL):
            return None
        ttft, itl = self._latencies
        return ttft if name == VLLM_TTFT else itl

    def load(self, at_s: float) -> WorkerLoad:
        """The same for the router."""
        engine = self._engine
        return WorkerLoad(at_s=at_s, running=engine.running, waiting=engine.waiting, kv_usage=engine.kv_usage)
