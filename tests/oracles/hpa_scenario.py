"""One autoscaler and what it meets, sync by sync: as Penstock replays it, and as the controller's harness reads it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from penstock.autoscale.hpa import HpaPolicy, HpaState, Sync, sync
from penstock.autoscale.hpa_pods import Pod
from penstock.messages.observation import PoolSeen, Signal
from penstock.messages.scaling_spec import Behavior, HpaScaling, ScalingRules


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSeen:
    """The world as one sync finds it; instants count from the controller's start.

    Args:
        scaling: a new spec, stored before this sync.
        replicas: what somebody else has set the scale to.
        values: external metrics in thousandths; one that is not there cannot be read.
        pool: what Penstock's own policy sees of the same world; None where the sync is asked directly.
    """

    status_replicas: int
    pods: tuple[Pod, ...]
    values: Mapping[Signal, int]
    scaling: HpaScaling | None = None
    replicas: int | None = None
    pool: PoolSeen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaScenario:
    """The first spec and count, and the syncs. `of_objects`: signals that the manifest takes from an object."""

    scaling: HpaScaling
    replicas: int
    syncs: tuple[SyncSeen, ...]
    of_objects: frozenset[Signal] = frozenset()

    def now_s(self, number: int) -> float:
        return (number + 1) * self.scaling.sync_period_s

    def line(self) -> str:
        """The scenario as the harness reads it."""
        document = {
            "spec": manifest_spec(self.scaling, self.of_objects),
            "tolerance": self.scaling.tolerance,
            "sync_period_s": self.scaling.sync_period_s,
            "replicas": self.replicas,
            "syncs": [self._sync(seen) for seen in self.syncs],
        }
        return json.dumps(document, separators=(",", ":"))

    def _sync(self, seen: SyncSeen) -> dict[str, Any]:
        document: dict[str, Any] = {
            "status_replicas": seen.status_replicas,
            "pods": [_pod(pod) for pod in seen.pods],
            "values": {str(signal): milli for signal, milli in seen.values.items()},
        }
        if seen.scaling is not None:
            document["spec"] = manifest_spec(seen.scaling, self.of_objects)
        if seen.replicas is not None:
            document["replicas"] = seen.replicas
        return document


@dataclass(slots=True)
class Replay:
    """Penstock's side: the scale that its decisions lead to."""

    scenario: HpaScenario
    replicas: int = field(init=False)
    state: HpaState = field(default_factory=HpaState)
    policy: HpaPolicy = field(init=False)

    def __post_init__(self) -> None:
        self.replicas = self.scenario.replicas
        self.policy = HpaPolicy.of(self.scenario.scaling)

    def sync(self, seen: SyncSeen, now_s: float) -> Sync:
        """Take one sync; `replicas` is the scale after it."""
        if seen.scaling is not None:
            self.policy = HpaPolicy.of(seen.scaling)
        if seen.replicas is not None:
            self.replicas = seen.replicas
        hpa = self.policy.hpa
        outcome, state = sync(
            hpa,
            self.state,
            replicas=self.replicas,
            status_replicas=seen.status_replicas,
            pods=seen.pods,
            values=[seen.values.get(target.metric) for target in hpa.targets],
            now_s=now_s,
        )
        if seen.pool is not None:
            decision, state = self.policy.decide(self.state, seen.pool, now_s=now_s)
            self.replicas = decision.desired
        else:
            self.replicas = outcome.desired
        self.state = state
        return outcome


def manifest_spec(scaling: HpaScaling, of_objects: frozenset[Signal] = frozenset()) -> dict[str, Any]:
    """The `spec` of the autoscaling/v2 manifest that says the same."""
    metrics = []
    if scaling.cpu_percent is not None:
        target = {"type": "Utilization", "averageUtilization": scaling.cpu_percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if scaling.requests_per_second is not None:
        metrics.append(_metric(Signal.DEMAND, "AverageValue", scaling.requests_per_second, of_objects))
    metrics.extend(_metric(m.metric, m.type, m.target, of_objects) for m in scaling.metrics)
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "decode"},
        "minReplicas": scaling.min,
        "maxReplicas": scaling.max,
        "metrics": metrics,
    }
    if scaling.behavior is not None:
        spec["behavior"] = _behavior(scaling.behavior)
    return spec


def _metric(signal: Signal, kind: str, value: float, of_objects: frozenset[Signal]) -> dict[str, Any]:
    target = {"type": kind, ("value" if kind == "Value" else "averageValue"): _quantity(value)}
    source = {"metric": {"name": str(signal)}, "target": target}
    if signal in of_objects:
        described = {"apiVersion": "v1", "kind": "Service", "name": "gateway"}
        return {"type": "Object", "object": source | {"describedObject": described}}
    return {"type": "External", "external": source}


def _behavior(behavior: Behavior) -> dict[str, Any]:
    rules = {"scaleUp": behavior.scale_up, "scaleDown": behavior.scale_down}
    return {name: _rules(given) for name, given in rules.items() if given is not None}


def _rules(rules: ScalingRules) -> dict[str, Any]:
    written: dict[str, Any] = {"selectPolicy": rules.select_policy}
    if rules.stabilization_window_s is not None:
        written["stabilizationWindowSeconds"] = rules.stabilization_window_s
    if rules.policies is not None:
        written["policies"] = [
            {"type": rule.type, "value": rule.value, "periodSeconds": rule.period_s} for rule in rules.policies
        ]
    if rules.tolerance is not None:
        written["tolerance"] = _quantity(rules.tolerance)
    return written


def _quantity(value: float) -> str:
    return format(Decimal(repr(value)), "f")


def _pod(pod: Pod) -> dict[str, Any]:
    written: dict[str, Any] = {
        "name": pod.name,
        "phase": str(pod.phase),
        "ready": pod.ready,
        "ready_since_s": pod.ready_since_s,
        "started_at_s": pod.started_at_s,
        "request_milli": pod.request_milli,
    }
    if pod.terminating:
        written["terminating"] = True
    if pod.cpu is not None:
        written["cpu"] = {"milli": pod.cpu.milli, "at_s": pod.cpu.at_s, "window_s": pod.cpu.window_s}
    return written
