"""What one worker's scrapes say, by vLLM's metric names, which simulated workers export too. Pure.

A value that the latest scrape lacks (NaN, cut off, no answer at all) keeps its last reading and grows old; a policy
then sees the age. A value never read is unknown, not 0.
"""

from typing import NamedTuple

from penstock.control.exposition import Counts
from penstock.control.windows import Window
from penstock.messages.observation import Sample

HIT_WINDOW_S = 60.0
CPU_WINDOW_S = 10.0

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
KV_USAGE = "vllm:kv_cache_usage_perc"
PREFIX_QUERIES = "vllm:prefix_cache_queries_total"
PREFIX_HITS = "vllm:prefix_cache_hits_total"
_GAUGES = (RUNNING, WAITING, KV_USAGE)
WANTED = frozenset((*_GAUGES, PREFIX_QUERIES, PREFIX_HITS))
_CPU = "cpu_s"


class Prefixes(NamedTuple):
    """Prompt tokens looked up in the prefix cache, and found, over the last minute."""

    queried: float
    found: float
    span_s: float
    age_s: float


class WorkerView:
    """One worker process as its scrapes show it."""

    def __init__(self, born_s: float) -> None:
        self._gauges: dict[str, tuple[float, float]] = {}
        self._prefixes: Window[str] = Window(HIT_WINDOW_S)
        self._prefixes.born(born_s)
        self._cpu: Window[str] = Window(CPU_WINDOW_S)

    def read(self, at_s: float, scrape: Counts) -> None:
        """Take in one scrape."""
        for name in _GAUGES:
            value = scrape.total(name)
            if value is not None:
                self._gauges[name] = (value, at_s)
        counters = {name: scrape.total(name) for name in (PREFIX_QUERIES, PREFIX_HITS)}
        self._prefixes.read(at_s, {name: value for name, value in counters.items() if value is not None})

    def used_cpu(self, at_s: float, cpu_s: float) -> None:
        """Take in the CPU time that its process has used so far."""
        self._cpu.read(at_s, {_CPU: cpu_s})

    def gauge(self, name: str, now_s: float) -> Sample | None:
        """The last reading of a gauge and its age."""
        if name not in self._gauges:
            return None
        value, at_s = self._gauges[name]
        return Sample(value=value, age_s=max(0.0, now_s - at_s))

    def prefixes(self, now_s: float) -> Prefixes | None:
        """Prefix-cache traffic of the last minute; None if there was none."""
        increase = self._prefixes.increase(now_s, HIT_WINDOW_S)
        if increase is None or not increase.by.get(PREFIX_QUERIES, 0.0) > 0:
            return None
        found = min(increase.by.get(PREFIX_HITS, 0.0), increase.by[PREFIX_QUERIES])
        return Prefixes(increase.by[PREFIX_QUERIES], found, increase.span_s, increase.age_s)

    def cpu_ratio(self, now_s: float) -> Sample | None:
        """CPUs in use over the one CPU that a process is taken to have asked for."""
        increase = self._cpu.increase(now_s, CPU_WINDOW_S)
        return Sample(value=increase.by[_CPU] / increase.span_s, age_s=increase.age_s) if increase else None

    def value(self, name: str) -> float:
        """The last reading, 0 before the first: for display and for choosing whom to stop, not for scaling."""
        reading = self._gauges.get(name)
        return reading[0] if reading is not None else 0.0
