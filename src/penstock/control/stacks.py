"""What other stacks' processes count, by the names that our views read. Pure.

Our views know a gateway's counters (`gateway_view`) and vLLM's gauges (`worker_view`). Without a gateway of ours the
engines themselves are the nearest to it: what they finished, run and have waiting is what arrived; their own
histograms are the latencies and lengths. So a scrape in a stack's names becomes one in ours, and nothing after it knows
the difference.

Nobody counts arrivals in vLLM and SGLang: they are taken as those that ended and those inside. These are read at one
instant but not at once, so the sum may step back by one; it is kept from falling, since a counter that falls is a
process that began anew. Of that, the fall of those that ended tells. Dynamo's frontends count arrivals themselves.

What SGLang counts of lengths are sums only, so their spread is unknown, and a mean is all there is.

Sources: docs.vllm.ai "Production metrics"; docs.sglang.io "Production metrics"; Dynamo's metrics reference (1.6).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from penstock.control import gateway_view as gateway
from penstock.control import worker_view as worker
from penstock.control.exposition import Scrape, Series

_HISTOGRAM = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """A stack's names.

    Args:
        same: a gauge or counter, and what we call it.
        histograms: likewise, without suffix.
        sums: our histogram by the counters that are its sum and its count.
        started: counts arrivals; None: nobody does, and `ended` and `inside` are taken.
    """

    same: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    histograms: Mapping[str, str] = field(default_factory=dict)
    sums: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    started: str | None = None
    ended: str | None = None
    inside: tuple[str, ...] = ()

    @property
    def wanted(self) -> frozenset[str]:
        """All series that are read."""
        names = {*self.same, *self.inside, *(name for pair in self.sums.values() for name in pair)}
        names |= {f"{name}{part}" for name in self.histograms for part in _HISTOGRAM}
        return frozenset(names | {name for name in (self.started, self.ended) if name is not None})


_VLLM_ENGINE = {
    name: (name,)
    for name in (worker.RUNNING, worker.WAITING, worker.KV_USAGE, worker.PREFIX_QUERIES, worker.PREFIX_HITS)
}
_SGLANG_ENGINE = {
    "sglang:num_running_reqs": (worker.RUNNING,),
    "sglang:num_queue_reqs": (worker.WAITING,),
    "sglang:token_usage": (worker.KV_USAGE,),
}
_SGLANG_CACHE = {
    "sglang:prompt_tokens_total": (worker.PREFIX_QUERIES,),
    "sglang:cached_tokens_total": (worker.PREFIX_HITS,),
}

VLLM = Names(
    same={
        **_VLLM_ENGINE,
        "vllm:prompt_tokens_total": (gateway.PROMPT_TOKENS,),
        worker.PREFIX_HITS: (worker.PREFIX_HITS, gateway.CACHED_TOKENS),
        "vllm:generation_tokens_total": (gateway.OUTPUT_TOKENS,),
    },
    histograms={
        "vllm:time_to_first_token_seconds": gateway.TTFT,
        "vllm:inter_token_latency_seconds": gateway.ITL,
        "vllm:e2e_request_latency_seconds": gateway.DURATION,
        "vllm:request_prompt_tokens": gateway.ISL,
        "vllm:request_generation_tokens": gateway.OSL,
    },
    ended="vllm:request_success_total",
    inside=(worker.RUNNING, worker.WAITING),
)
SGLANG = Names(
    same={
        **_SGLANG_ENGINE,
        "sglang:prompt_tokens_total": (gateway.PROMPT_TOKENS, worker.PREFIX_QUERIES),
        "sglang:cached_tokens_total": (gateway.CACHED_TOKENS, worker.PREFIX_HITS),
        "sglang:generation_tokens_total": (gateway.OUTPUT_TOKENS,),
    },
    histograms={
        "sglang:time_to_first_token_seconds": gateway.TTFT,
        "sglang:inter_token_latency_seconds": gateway.ITL,
        "sglang:e2e_request_latency_seconds": gateway.DURATION,
    },
    sums={
        gateway.ISL: ("sglang:prompt_tokens_total", "sglang:num_requests_total"),
        gateway.OSL: ("sglang:generation_tokens_total", "sglang:num_requests_total"),
    },
    ended="sglang:num_requests_total",
    inside=("sglang:num_running_reqs", "sglang:num_queue_reqs"),
)
DYNAMO_FRONTEND = Names(
    same={
        "dynamo_frontend_router_queue_pending_requests": (gateway.HELD,),
        "dynamo_frontend_active_requests": (gateway.IN_FLIGHT,),
        "dynamo_frontend_output_tokens_total": (gateway.OUTPUT_TOKENS,),
        "dynamo_frontend_input_sequence_tokens_sum": (gateway.PROMPT_TOKENS,),
        "dynamo_frontend_cached_tokens_sum": (gateway.CACHED_TOKENS,),
    },
    histograms={
        "dynamo_frontend_time_to_first_token_seconds": gateway.TTFT,
        "dynamo_frontend_inter_token_latency_seconds": gateway.ITL,
        "dynamo_frontend_request_duration_seconds": gateway.DURATION,
        "dynamo_frontend_input_sequence_tokens": gateway.ISL,
        "dynamo_frontend_output_sequence_tokens": gateway.OSL,
    },
    started="dynamo_frontend_requests_started_total",
)
# Dynamo's workers pass the metrics of the engine below them on; what they say themselves is the use of the KV cache.
DYNAMO_WORKER = Names(
    same={
        **_VLLM_ENGINE,
        **_SGLANG_ENGINE,
        **_SGLANG_CACHE,
        "dynamo_component_gpu_cache_usage_percent": (worker.KV_USAGE,),
    }
)


class Translator:
    """One process of a stack: its scrapes in our names. Keeps what it needs to count arrivals."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._ended = 0.0
        self._arrived = 0.0

    def ours(self, scrape: Scrape) -> Scrape:
        """One scrape, in our names; empty stays empty."""
        if not scrape.series:
            return scrape
        return Scrape((*self._renamed(scrape), *self._summed(scrape), *self._arrivals(scrape)))

    def _renamed(self, scrape: Scrape) -> Iterator[Series]:
        engines_own = {series.name for series in scrape.series}
        for series in scrape.series:
            for name in self._names.same.get(series.name, ()):
                # Two that say the same: the engine's own word counts.
                if name == worker.KV_USAGE and series.name.startswith("dynamo_") and engines_own & _ENGINES_KV:
                    continue
                yield Series(name=name, labels=series.labels, value=series.value)
            base, underscore, part = series.name.rpartition("_")
            if base in self._names.histograms:
                ours = f"{self._names.histograms[base]}{underscore}{part}"
                yield Series(name=ours, labels=series.labels, value=series.value)

    def _summed(self, scrape: Scrape) -> Iterator[Series]:
        for name, (total, count) in self._names.sums.items():
            values = scrape.total(total), scrape.total(count)
            if values[0] is None or values[1] is None:
                continue
            yield Series(name=f"{name}_sum", labels={}, value=values[0])
            yield Series(name=f"{name}_bucket", labels={"le": "+Inf"}, value=values[1])

    def _arrivals(self, scrape: Scrape) -> Iterator[Series]:
        if self._names.started is not None:
            started = scrape.total(self._names.started)
            if started is not None:
                yield Series(name=gateway.RECEIVED, labels={}, value=started)
            return
        if self._names.ended is None:
            return
        inside = [scrape.total(name) for name in self._names.inside]
        known = [value for value in inside if value is not None]
        if len(known) < len(inside):
            return
        ended = scrape.total(self._names.ended) or 0.0  # a label set comes with its first request
        if ended < self._ended:
            self._arrived = 0.0  # it began anew
        self._ended = ended
        self._arrived = max(self._arrived, ended + sum(known))
        yield Series(name=gateway.RECEIVED, labels={}, value=self._arrived)


_ENGINES_KV = frozenset({worker.KV_USAGE, "sglang:token_usage"})
