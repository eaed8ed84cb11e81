"""What an autoscaler sees through Prometheus: the signals of a pool as the queries that people write would give them.

    requests_per_s   sum(rate(penstock_gateway_requests_received_total[W]))
    ttft_s, itl_s    histogram_quantile(p, sum by (le) (rate(vllm:..._seconds_bucket[W])))     over the pool's workers
    isl_tokens ...   rate(..._sum) / rate(..._count), and quantiles, of the gateway's histograms
    queue ...        sum(vllm:num_requests_waiting), avg(vllm:kv_cache_usage_perc)             instant vectors

W is the rate window. So a burst is smeared over W, a worker's growth before its first scrape is lost, a percentile is
an interpolation between vLLM's edges, and a latency that nobody measured is no value. All of it by
`telemetry.promql`, which is Prometheus' arithmetic to the last bit. What a query answers has no age.

It does not know what a scrape costs or that one can fail.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.control import gateway_view, worker_view
from penstock.control.exposition import Counts
from penstock.messages.observation import Sample, Signal
from penstock.simulator.world_spec import MetricsSpec
from penstock.telemetry import promql
from penstock.telemetry.quantile import histogram_quantile

_KEEP_MS = promql.LOOKBACK_MS
VLLM_TTFT = "vllm:time_to_first_token_seconds"
VLLM_ITL = "vllm:inter_token_latency_seconds"
_GATEWAY_COUNTERS = (gateway_view.RECEIVED, gateway_view.PROMPT_TOKENS, gateway_view.CACHED_TOKENS)
_GATEWAY_HISTOGRAMS = (gateway_view.ISL, gateway_view.OSL)
_WORKER_GAUGES = (worker_view.WAITING, worker_view.RUNNING, worker_view.KV_USAGE)
_WORKER_COUNTERS = (worker_view.PREFIX_QUERIES, worker_view.PREFIX_HITS)


@dataclass(slots=True)
class _Target:
    """One scraped process: the instants of its scrapes, and a column for each series."""

    times_ms: list[int] = field(default_factory=list)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    buckets: dict[str, list[Sequence[float] | None]] = field(default_factory=dict)
    bounds: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def scraped(self, at_ms: int, counts: Counts, names: Iterable[str], histograms: Iterable[str]) -> None:
        self.times_ms.append(at_ms)
        for name in names:
            self.values.setdefault(name, []).append(counts.total(name))
        for name in histograms:
            found = counts.buckets(name)
            row = tuple(found.values())
            self.bounds[name] = tuple(found)
            self.buckets.setdefault(name, []).append(row)
            self.values.setdefault(f"{name}_sum", []).append(counts.total(f"{name}_sum"))
            self.values.setdefault(f"{name}_count", []).append(row[-1] if row else None)

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

    def scrape_gateway(self, at_s: float, counts: Counts) -> None:
        """Take in one scrape of the gateway."""
        at_ms = round(1000 * at_s)
        self._gateway.scraped(at_ms, counts, (*_GATEWAY_COUNTERS, gateway_view.HELD), _GATEWAY_HISTOGRAMS)
        self._gateway.forget(at_ms - max(_KEEP_MS, self._window_ms))

    def scrape_worker(self, at_s: float, worker: str, counts: Counts) -> None:
        """Take in one scrape of a worker."""
        at_ms = round(1000 * at_s)
        target = self._workers.setdefault(worker, _Target())
        target.scraped(at_ms, counts, (*_WORKER_GAUGES, *_WORKER_COUNTERS), (VLLM_TTFT, VLLM_ITL))
        target.forget(at_ms - max(_KEEP_MS, self._window_ms))

    def gone(self, worker: str) -> None:
        """A worker is no target any more: its series end, and its gauges with them."""
        target = self._workers.get(worker)
        if target is not None and target.times_ms:
            target.times_ms.append(target.times_ms[-1] + 1)
            for column in (*target.values.values(), *target.buckets.values()):
                column.append(None)  # type: ignore[attr-defined]  # the stale marker

    def signals(self, workers: Sequence[str], now_s: float, *, lead_time_s: float) -> dict[Signal, Sample]:
        """The signals of a pool.

        Args:
            workers: every worker that the pool ever had, gone ones too: their counters still count within the window.
        """
        at_ms = round(1000 * now_s)
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
        found[Signal.QUEUE] = sum(waiting)
        found[Signal.RUNNING] = sum(running)
        found[Signal.IN_FLIGHT] = sum(waiting) + sum(running)
        found[Signal.KV_USAGE] = sum(usage) / len(usage) if usage else None
        return {
            signal: Sample(value=value) for signal, value in found.items() if value is not None and math.isfinite(value)
        }

    def forget(self, kept: Iterable[str]) -> None:
        """Drop the workers that are not kept."""
        keep = set(kept)
        for worker in [worker for worker in self._workers if worker not in keep]:
            del self._workers[worker]

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
