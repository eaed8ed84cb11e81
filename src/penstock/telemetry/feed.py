"""What the live page shows: the last 15 minutes of observations and decisions, as one table of series that grows.

A `Feed` listens to the control loop. Each observation becomes one moment: a row of named values (`pool/worker/ready`,
`ttft_s`), absent where nothing was measured, for no data is not zero. A page asks once for the whole (`history`), then
for what came after (`since`). A report replays a run's files into the same object, so page and report cannot disagree.

Bounded: moments by `hold_s` and `MAX_MOMENTS`, decisions by `MAX_DECISIONS`, workers by `MAX_WORKERS` (beyond them the
pool's own figures still tell). Belongs to one thread, as the control loop does; nothing here waits.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.messages.decision import Decision
from penstock.messages.observation import NodePoolSeen, Observation, PoolSeen, Signal, WorkerSeen
from penstock.messages.result import GpuHours
from penstock.messages.scaling_spec import NoScaling
from penstock.messages.spec import InferenceDeployment
from penstock.telemetry.attainment import Attainment

HOLD_S = 900.0  # what a page shows
MAX_MOMENTS = 3600  # were observations to come four times a second
MAX_DECISIONS = 1000
MAX_WORKERS = 48

# A pool's signals that become series, by the name that the page knows.
_POOL_SERIES = {
    "demand": Signal.DEMAND,
    "queue": Signal.QUEUE,
    "running": Signal.RUNNING,
    "kv_usage": Signal.KV_USAGE,
    "hit_ratio": Signal.HIT_RATIO,
    "in_flight": Signal.IN_FLIGHT,
    "lead_time_s": Signal.LEAD_TIME,
}
_NODE_STATES = ("provisioning", "cold", "warm", "cordoned", "deallocated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What was spent so far, and what the same time would have cost at a fixed number of replicas: its peak so far."""

    usd_per_hour: float
    spent_usd: float
    static_peak_usd: float
    gpu_hours: GpuHours


@dataclass(frozen=True, slots=True)
class _Moment:
    seq: int
    time_s: float
    values: Mapping[str, float]


class Feed:
    """Holds what a page shows.

    Args:
        costs: asked after each observation; None, if the deployment names no GPUs. The ledger behind it must hear of an
            observation before the feed does.
        started_unix_s: wall time at which the run's seconds begin, for display only; None in virtual time.
        hold_s: how far back to remember; a report holds the whole run.
    """

    def __init__(
        self,
        deployment: InferenceDeployment,
        *,
        costs: Callable[[], Costs | None] | None = None,
        started_unix_s: float | None = None,
        hold_s: float = HOLD_S,
        max_moments: int = MAX_MOMENTS,
        max_decisions: int = MAX_DECISIONS,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.meta = _describe(deployment, started_unix_s, hold_s)
        self._costs = costs
        self._hold_s = hold_s
        self._monotonic_s = monotonic_s
        self._heard_at_s: float | None = None
        self._attainment = Attainment(deployment.spec.slo)
        self._moments: deque[_Moment] = deque(maxlen=max_moments)
        self._decisions: deque[dict[str, Any]] = deque(maxlen=max_decisions)
        self._latest: dict[str, Decision] = {}  # by component
        self._latest_json: dict[str, dict[str, Any]] = {}
        self._now: dict[str, Any] = {}
        self._seq = 0

    @property
    def seq(self) -> int:
        """Grows with every observation and decision."""
        return self._seq

    @property
    def oldest_seq(self) -> int:
        """Whoever has seen less than this must ask for the whole again."""
        return self._moments[0].seq if self._moments else 0

    def observed(self, observation: Observation) -> None:
        """Take one look at the world."""
        self._seq += 1
        self._heard_at_s = self._monotonic_s()
        self._attainment.seen(observation.time_s, observation.totals)
        costs = self._costs() if self._costs is not None else None
        self._moments.append(_Moment(self._seq, observation.time_s, self._values(observation, costs)))
        self._now = self._describe_now(observation, costs)
        too_old_s = observation.time_s - self._hold_s
        while self._moments[0].time_s < too_old_s:
            self._moments.popleft()
        while self._decisions and self._decisions[0]["time_s"] < too_old_s:
            self._decisions.popleft()

    def decided(self, decision: Decision) -> None:
        """Take one decision; the page marks and lists it."""
        self._seq += 1
        self._latest[decision.component] = decision
        as_json = decision_to_json(decision)
        self._decisions.append({"seq": self._seq, **as_json})
        self._latest_json[decision.component] = as_json

    def history(self) -> dict[str, Any]:
        """Everything held, as columns: `series[name][i]` belongs to `time_s[i]`, None where nothing was measured.

        Series of workers that are gone are left out.
        """
        gone = {name for moment in self._moments for name in moment.values if name.startswith("worker/")}
        gone -= set(self._moments[-1].values) if self._moments else set()
        names = sorted({name for moment in self._moments for name in moment.values} - gone)
        return {
            "meta": self.meta,
            "seq": self._seq,
            "age_s": None if self._heard_at_s is None else self._monotonic_s() - self._heard_at_s,
            "time_s": [_short(moment.time_s) for moment in self._moments],
            "series": {name: [moment.values.get(name) for moment in self._moments] for name in names},
            "decisions": list(self._decisions),
            "now": self._now,
        }

    def since(self, seq: int) -> dict[str, Any] | None:
        """What came after `seq`; None, if nothing did."""
        if seq >= self._seq:
            return None
        moments: list[dict[str, Any]] = []
        for moment in reversed(self._moments):
            if moment.seq <= seq:
                break
            moments.append({"time_s": _short(moment.time_s), "values": moment.values})
        decisions: list[dict[str, Any]] = []
        for decision in reversed(self._decisions):
            if decision["seq"] <= seq:
                break
            decisions.append(decision)
        return {"seq": self._seq, "moments": moments[::-1], "decisions": decisions[::-1], "now": self._now}

    def _values(self, observation: Observation, costs: Costs | None) -> dict[str, float]:
        values: dict[str, float | None] = {
            # With several pools the worst counts: a client waits for all of them.
            "ttft_s": _worst(observation, Signal.TTFT),
            "itl_s": _worst(observation, Signal.ITL),
        }
        for name in ("retries", "held", "rejected", "failed", "in_flight"):
            values[name] = observation.totals.get(name)
        if costs is not None:
            values["usd_per_hour"] = costs.usd_per_hour
            values["spent_usd"] = costs.spent_usd
            values["static_peak_usd"] = costs.static_peak_usd
        for pool in observation.pools:
            values.update(self._pool_values(pool))
        for nodes in observation.nodes:
            values.update(_node_values(nodes))
        for _, worker in _workers(observation):
            values[f"worker/{worker.id}/running"] = worker.running
            values[f"worker/{worker.id}/kv_usage"] = worker.kv_usage
        return {name: _short(value) for name, value in values.items() if value is not None}

    def _pool_values(self, pool: PoolSeen) -> dict[str, float | None]:
        values: dict[str, float | None] = {
            "ready": pool.ready,
            "starting": pool.starting,
            "draining": pool.draining,
            "desired": pool.desired,
        }
        for name, signal in _POOL_SERIES.items():
            sample = pool.signals.get(signal)
            values[name] = sample.value if sample is not None else None
        latest = self._latest.get(pool.component)
        if latest is not None:
            per_replica = latest.figures.get("capacity_per_replica")
            values["forecast"] = latest.figures.get("forecast")
            values["capacity_per_replica"] = per_replica
            values["capacity"] = per_replica * pool.ready if per_replica is not None else None
        return {f"pool/{pool.component}/{name}": value for name, value in values.items()}

    def _describe_now(self, observation: Observation, costs: Costs | None) -> dict[str, Any]:
        """What is true only now, so that it needs no series."""
        attained = self._attainment.now()
        return {
            "time_s": _short(observation.time_s),
            "attainment": {
                "windows": attained.windows,
                "windows_met": attained.windows_met,
                "budget_left": None if attained.budget_left is None else _short(attained.budget_left),
            },
            "gpu_hours": costs.gpu_hours if costs is not None else None,
            "decision": self._latest_json,
            "workers": [
                {
                    "id": worker.id,
                    "pool": pool.component,
                    "state": worker.state,
                    "since_s": _short(worker.since_s),
                    "ready_at_s": worker.ready_at_s,
                    "running": worker.running,
                    "queue": worker.queue,
                    "kv_usage": _short(worker.kv_usage),
                    "hit_ratio": _short(worker.hit_ratio),
                }
                for pool, worker in _workers(observation)
            ],
        }


def _node_values(nodes: NodePoolSeen) -> dict[str, float]:
    """GPUs by the state of their node, and those that pods hold."""
    values = {state: getattr(nodes, state) * nodes.gpus_per_node for state in _NODE_STATES}
    return {f"nodes/{nodes.vm_size}/{name}": value for name, value in (values | {"in_use": nodes.in_use}).items()}


def decision_to_json(decision: Decision) -> dict[str, Any]:
    """The record of interfaces.md, as plain values."""
    return {
        "time_s": decision.time_s,
        "component": decision.component,
        "policy": decision.policy,
        "current": decision.current,
        "desired": decision.desired,
        "limited_by": str(decision.limited_by),
        "reason": decision.reason,
        "seen": {str(name): {"value": sample.value, "age_s": sample.age_s} for name, sample in decision.seen.items()},
        "figures": dict(decision.figures),
    }


def _describe(deployment: InferenceDeployment, started_unix_s: float | None, hold_s: float) -> dict[str, Any]:
    """What stays the same for the whole run."""
    slo = deployment.spec.slo
    return {
        "name": deployment.metadata.name,
        "model": deployment.spec.model.name,
        "started_unix_s": started_unix_s,
        "hold_s": hold_s if hold_s < float("inf") else None,
        "slo": {"ttft_s": slo.ttft_s, "itl_s": slo.itl_s, "percentile": slo.percentile, "window_s": slo.window_s},
        "pools": [
            {
                "name": pool.name,
                "role": str(pool.role),
                "policy": pool.autoscaling.by,
                "min": pool.initial_replicas if isinstance(pool.autoscaling, NoScaling) else pool.autoscaling.min,
                "max": pool.max_replicas,
                "gpu": f"{pool.gpu.count} × {pool.gpu.vm_size}" if pool.gpu is not None else None,
            }
            for pool in deployment.spec.pools
        ],
    }


def _worst(observation: Observation, signal: Signal) -> float | None:
    values = [pool.signals[signal].value for pool in observation.pools if signal in pool.signals]
    return max(values, default=None)


def _workers(observation: Observation) -> list[tuple[PoolSeen, WorkerSeen]]:
    return [(pool, worker) for pool in observation.pools for worker in pool.workers][:MAX_WORKERS]


def _short(value: float) -> float:
    """Seven digits are more than a chart shows, and half the bytes."""
    return float(f"{value:.7g}")
