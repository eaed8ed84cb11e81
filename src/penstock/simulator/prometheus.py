"""What an autoscaler sees through Prometheus: the signals of a pool as the queries that people write would give them.

    requests_per_s   sum(rate(penstock_gateway_requests_received_total[W]))
    ttft_s, itl_s    histogram_quantile(p, sum by (le) (rate(vllm:..._seconds_bucket[W])))     over the pool's workers
    isl_tokens ...   rate(..._sum) / rate(..._count), and quantiles, of the gateway's histograms
    queue ...        sum(vllm:num_requests_waiting), avg(vllm:kv_cache_usage_perc)             instant vectors

W is the rate window. So a burst is smeared over W, a worker's growth before its first scrape is lost, a percentile is
an interpolation between vLLM's edges, and a latency that nobody measured is no value. All of it by
`telemetry.promql`, which is Prometheus' arithmetic to the last bit. What a query answers has no age.

A scrape that fails, and a target that is gone, end the target's series with stale markers. A sample keeps the instant
of its scrape, but no query sees it before it was ingested. It does not know who is scraped when.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.control import gateway_view, worker_view
from penstock.control.exposition import Counts
from penstock.messages.observation import Sample, Signal
from penstock.simulator.metrics_spec import MetricsSpec
from penstock.telemetry import promql
from penstock.telemetry.quantile import histogram_quantile

_KEEP_MS = promql.LOOKBACK_MS
VLLM_TTFT = "vllm:time_to_first_token_seconds"
VLLM_ITL = "vllm:inter_token_latency_seconds"
_GATEWAY_COUNTERS = (gateway_view.RECEIVED, gateway_view.PROMPT_TOKENS, gateway_view.CACHED_TOKENS)
_GATEWAY_HISTOGRAMS = (gateway_view.ISL, gateway_view.OSL)
_WORKER_GAUGES = (worker_view.WAITING, worker_view.RUNNING, worker_view.KV_USAGE)
_WORKER_COUNTERS = (worker_view.PREFIX_QUERIES, worker_view.PREFIX_HITS)


@dataclass(frozen=True, slots=True)
class _Row:
    """What one scrape found: values by series, and bounds and cumulative counts by histogram. Empty, if it failed."""

    at_ms: int
    values: Mapping[str, float | None] = field(default_factory=dict)
    buckets: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, at_ms: int, counts: Counts, names: Iterable[str], histograms: Iterable[str]) -> "_Row":
        values = {name: counts.total(name) for name in names}
        buckets = {}
        for name in histograms:
            found = counts.buckets(name)
            row = tuple(found.values())
            buckets[name] = (tuple(found), row)
            values[f"{name}_sum"] = counts.total(f"{name}_sum")
            values[f"{name}_count"] = row[-1] if row else None
        return cls(at_ms, values, buckets)


@dataclass(slots=True)
class _Target:
    """One scraped process: the instants of its scrapes, and a column for each series."""

    times_ms: list[int] = field(default_factory=list)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    buckets: dict[str, list[Sequence[float] | None]] = field(default_factory=dict)
    bounds: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def take(self, row: _Row) -> None:
        """Append what one scrape found; a series that it did not find, or nothing of a failed one, ends."""
        if not (row.values or self.values):
            return  # nothing can end that has not begun
        self.times_ms.append(row.at_ms)
        for name, value in row.values.items():
            self.values.setdefault(name, [None] * (len(self.times_ms) - 1)).append(value)
        for name, (bounds, counts) in row.buckets.items():
            self.bounds[name] = bounds
            self.buckets.setdefault(name, [None] * (len(self.times_ms) - 1)).append(counts)
        columns: tuple[list[Any], ...] = (*self.values.values(), *self.buckets.values())
        for column in columns:
            if len(column) < len(self.times_ms):
                column.append(None)  # the stale marker

    def forget(self, before_ms: int) -> None:
        old = sum(time_ms < before_ms for time_ms in self.times_ms)
        if old > len(self.times_ms) // 2:  # seldom, so that it costs little
            del self.times_ms[:old]
            for column in (*self.values.values(), *self.buckets.values()):
                del column[:old]  # type: ignore[attr-defined]

    def rate(self, name: str, at_ms: int, window_ms: int) -> float | None:
        return promql.rate(self.times_ms, self.values.get(name, []), at_ms=at_ms, window_ms=window_ms)

    def instant(self, name: str, at_ms: int) -> float | None:
        return promql.instant(self.times_ms, self.values.get(name, []), at_ms=at_ms)


class Prometheus:
    """The scraped history of one virtual deployment, and the queries over it.

    Args:
        percentile: of the SLO, 0 to 100.
    """

    def __init__(self, spec: MetricsSpec, *, percentile: float) -> None:
        self._window_ms = round(1000 * spec.rate_window_s)
        self._quantile = percentile / 100
        self._gateway = _Target()
        self._workers: dict[str, _Target] = {}
        self._delay_ms = round(1000 * spec.delay_s)
        self._on_their_way: deque[tuple[str | None, _Row]] = deque()

    def scrape_gateway(self, at_s: float, counts: Counts) -> None:
        """Take in one scrape of the gateway."""
        names = (*_GATEWAY_COUNTERS, gateway_view.HELD)
        self._ingest(None, _Row.of(round(1000 * at_s), counts, names, _GATEWAY_HISTOGRAMS))

    def scrape_worker(self, at_s: float, worker: str, counts: Counts) -> None:
        """Take in one scrape of a worker."""
        names = (*_WORKER_GAUGES, *_WORKER_COUNTERS)
        self._ingest(worker, _Row.of(round(1000 * at_s), counts, names, (VLLM_TTFT, VLLM_ITL)))

    def missed(self, worker: str | None, at_s: float) -> None:
        """A scrape of a worker failed, or one of the gateway (None)."""
        self._ingest(worker, _Row(round(1000 * at_s)))

    def gone(self, worker: str, at_s: float) -> None:
        """A worker is no target any more: its series end, and its gauges with them."""
        self._ingest(worker, _Row(round(1000 * at_s)))

    def forget(self, worker: str) -> None:
        """Drop a worker that went long ago."""
        self._workers.pop(worker, None)

    def signals(self, workers: Sequence[str], now_s: float, *, lead_time_s: float) -> dict[Signal, Sample]:
        """The signals of a pool.

        Args:
            workers: every worker that the pool ever had, gone ones too: their counters still count within the window.
        """
        at_ms = round(1000 * now_s)
        self._arrived(at_ms)
        targets = [self._workers[worker] for worker in workers if worker in self._workers]
        gateway = self._gateway
        found: dict[Signal, float | None] = {
            Signal.DEMAND: gateway.rate(gateway_view.RECEIVED, at_ms, self._window_ms),
            Signal.HELD: gateway.instant(gateway_view.HELD, at_ms),
            Signal.ISL: self._mean(gateway_view.ISL, at_ms),
            Signal.ISL_P95: self._percentile([gateway], gateway_view.ISL, 0.95, at_ms),
            Signal.OSL: self._mean(gateway_view.OSL, at_ms),
            Signal.OSL_P95: self._percentile([gateway], gateway_view.OSL, 0.95, at_ms),
            Signal.TTFT: self._percentile(targets, VLLM_TTFT, self._quantile, at_ms),
            Signal.ITL: self._percentile(targets, VLLM_ITL, self._quantile, at_ms),
            Signal.HIT_RATIO: self._hit_ratio(targets, at_ms),
            Signal.LEAD_TIME: lead_time_s,
        }
        waiting, running, usage = (self._instants(targets, name, at_ms) for name in _WORKER_GAUGES)
        found[Signal.QUEUE] = sum(waiting) if waiting else None  # of an empty vector, `sum` is empty too
        found[Signal.RUNNING] = sum(running) if running else None
        found[Signal.IN_FLIGHT] = sum(waiting) + sum(running) if waiting and running else None
        found[Signal.KV_USAGE] = sum(usage) / len(usage) if usage else None
        return {
            signal: Sample(value=value) for signal, value in found.items() if value is not None and math.isfinite(value)
        }

    def _ingest(self, worker: str | None, row: _Row) -> None:
        self._on_their_way.append((worker, row))

    def _arrived(self, now_ms: int) -> None:
        """Take in what was ingested by now."""
        waiting = self._on_their_way
        while waiting and waiting[0][1].at_ms + self._delay_ms <= now_ms:
            worker, row = waiting.popleft()
            target = self._gateway if worker is None else self._workers.setdefault(worker, _Target())
            if target.times_ms and target.times_ms[-1] >= row.at_ms:  # it went as it was scraped
                row = replace(row, at_ms=target.times_ms[-1] + 1)
            target.take(row)
            target.forget(row.at_ms - max(_KEEP_MS, self._window_ms) - self._delay_ms)

    def _instants(self, targets: Sequence[_Target], name: str, at_ms: int) -> list[float]:
        values = (target.instant(name, at_ms) for target in targets)
        return [value for value in values if value is not None]

    def _mean(self, name: str, at_ms: int) -> float | None:
        total = self._gateway.rate(f"{name}_sum", at_ms, self._window_ms)
        count = self._gateway.rate(f"{name}_count", at_ms, self._window_ms)
        return total / count if total is not None and count else None

    def _percentile(self, targets: Sequence[_Target], name: str, quantile: float, at_ms: int) -> float | None:
        columns = [(target.times_ms, target.buckets[name]) for target in targets if name in target.buckets]
        rates = promql.bucket_rates(columns, at_ms=at_ms, window_ms=self._window_ms)
        if rates is None:
            return None
        bounds = next(target.bounds[name] for target in targets if name in target.bounds)
        return histogram_quantile(quantile, dict(zip(bounds, rates, strict=True)))

    def _hit_ratio(self, targets: Sequence[_Target], at_ms: int) -> float | None:
        rates: Mapping[str, list[float]] = {
            name: [rate for target in targets if (rate := target.rate(name, at_ms, self._window_ms)) is not None]
            for name in _WORKER_COUNTERS
        }
        queried, hit = (sum(rates[name]) for name in _WORKER_COUNTERS)
        return min(1.0, hit / queried) if queried > 0 else None
