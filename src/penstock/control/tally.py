"""Adds a run up as it goes: replicas over time, scale events, windows that met the SLO; at the end, the `Result`.

A Listener. What requests saw comes from the gateway's own counts and histograms, so it is what left the gateway, not
what clients felt (`penstock load` measures that), and percentiles are interpolated between bucket edges. At the SLO
targets the histograms have an edge: attainment is exact. Requests still in flight at the end, and those whose client
left, are in no count.
"""

import math
from dataclasses import dataclass, field

from penstock.control.gateway_view import DURATION, ITL, TTFT, GatewayView
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation
from penstock.messages.result import Latency, Requests, Result, SloResult, Tokens
from penstock.messages.spec import SloSpec
from penstock.telemetry.attainment import SloCounts
from penstock.telemetry.feed import Costs
from penstock.telemetry.quantile import histogram_quantile

MAX_CHANGES = 20_000  # of one pool's replicas; later ones are not recorded

_NOTHING = SloCounts(ttft_observed=0, ttft_within=0, itl_observed=0, itl_within=0, rejected=0, failed=0)


@dataclass(slots=True)
class Tally:
    """Of one run."""

    slo: SloSpec
    _replicas: dict[str, list[tuple[float, int, int]]] = field(default_factory=dict)
    _scale_events: int = 0
    _windows: int = 0
    _windows_met: int = 0
    _window: int = 0
    _opened: SloCounts = _NOTHING
    _latest: SloCounts = _NOTHING

    def observed(self, observation: Observation) -> None:
        """Note what changed."""
        for pool in observation.pools:
            changes = self._replicas.setdefault(pool.component, [])
            now = (observation.time_s, pool.desired, pool.ready)
            if changes and changes[-1][1] != pool.desired:
                self._scale_events += 1
            if not changes or (changes[-1][1:] != now[1:] and len(changes) < MAX_CHANGES):
                changes.append(now)
        counts = SloCounts.from_totals(observation.totals)
        if counts is None:
            return
        window = int(observation.time_s // self.slo.window_s)
        if window > self._window:
            self._close_window()
            self._window = window
        self._latest = counts

    def decided(self, decision: Decision) -> None:
        """What is decided shows in what is observed."""

    def result(self, gateway: GatewayView, costs: Costs | None, *, wall_s: float) -> Result:
        """The run so far."""
        totals = gateway.totals()
        count = {name: round(value) for name, value in totals.items()}
        completed, rejected, failed = (count.get(name, 0) for name in ("completed", "rejected", "failed"))
        offered = completed + rejected + failed
        return Result(
            requests=Requests(offered=offered, completed=completed, rejected=rejected, failed=failed),
            ttft_s=_latency(gateway, TTFT),
            itl_s=_latency(gateway, ITL),
            e2e_s=_latency(gateway, DURATION),
            tokens=Tokens(
                prompt=count.get("prompt_tokens", 0),
                prompt_cached=count.get("prompt_tokens_cached", 0),
                output=count.get("output_tokens", 0),
            ),
            slo=self._slo_result(),
            gpu_hours=costs.gpu_hours if costs else None,
            cost_usd=costs.spent_usd if costs else None,
            replicas={name: tuple(changes) for name, changes in self._replicas.items()},
            scale_events=self._scale_events,
            wall_s=wall_s,
            requests_per_wall_s=offered / wall_s if wall_s > 0 else 0.0,
        )

    def _close_window(self) -> None:
        counts = self._latest.since(self._opened)
        self._opened = self._latest
        if counts.requests >= 1:
            self._windows += 1
            self._windows_met += counts.met(self.slo.percentile)

    def _slo_result(self) -> SloResult:
        open_window = self._latest.since(self._opened)
        windows, met = self._windows, self._windows_met
        if open_window.requests >= 1:
            windows, met = windows + 1, met + open_window.met(self.slo.percentile)
        requests = self._latest.requests
        return SloResult(
            ttft_s=self.slo.ttft_s,
            itl_s=self.slo.itl_s,
            percentile=self.slo.percentile,
            window_s=self.slo.window_s,
            windows=windows,
            windows_met=met,
            attainment=met / windows if windows else 0.0,
            # By TTFT alone: a gateway's histograms do not say which token gaps belonged to one request.
            requests_met=self._latest.ttft_within / requests if requests else 0.0,
        )


def _latency(gateway: GatewayView, name: str) -> Latency:
    buckets, total_s = gateway.histogram(name)
    count = buckets.get(math.inf, 0.0)
    p50, p95, p99 = (histogram_quantile(quantile, buckets) for quantile in (0.5, 0.95, 0.99))
    return Latency(mean=total_s / count if count else None, p50=p50, p95=p95, p99=p99)
