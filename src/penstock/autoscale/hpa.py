"""Kubernetes' HorizontalPodAutoscaler v2, one sync at a time, to the letter: a policy from there can be tried here.

`sync` is a pure function of the autoscaler, its memory, the scale, the pods, the metric values and the instant. It
knows nothing of where values come from: a value is whole thousandths, or None if it could not be had. One metric that
fails blocks only the way down; a sync without any metric changes and remembers nothing; outside [min, max] the count
jumps to the bound, past windows and policies, and no metric is read.

`HpaPolicy` fits it to a pool: what a cluster would scrape are the pool's signals.

Source: Kubernetes 1.34, pkg/controller/podautoscaler/horizontal.go (reconcileAutoscaler).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from penstock.autoscale.base import named
from penstock.autoscale.hpa_behavior import (
    Behaviors,
    Normalized,
    Recommendation,
    ScaleEvent,
    normalize,
    remembered,
    settled,
    with_event,
)
from penstock.autoscale.hpa_metrics import (
    MetricError,
    Proposal,
    Tolerance,
    adapter_milli,
    average_proposal,
    cpu_proposal,
    quantity_float,
    quantity_milli,
    value_proposal,
)
from penstock.autoscale.hpa_pods import Pod, pods_of
from penstock.autoscale.hpa_reason import hpa_reason
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.messages.scaling_spec import Behavior, HpaScaling

# Prometheus answers an instant query with a sample of at most this age; older is no data.
PROMETHEUS_LOOKBACK_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One metric: CPU utilisation in percent of the request, or an external value in thousandths."""

    metric: Signal
    type: Literal["Utilization", "Value", "AverageValue"]
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hpa:
    """A HorizontalPodAutoscaler's spec, every field settled."""

    minimum: int
    maximum: int
    targets: tuple[Target, ...]
    behaviors: Behaviors | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaState:
    """What the controller remembers of one autoscaler. Bounded: by window and longest period over the sync period."""

    recommendations: tuple[Recommendation, ...] = ()
    up_events: tuple[ScaleEvent, ...] = ()
    down_events: tuple[ScaleEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """The outcome of one sync, with all that a reader needs to follow it.

    Args:
        answers: for each target, what it asks for or why it could not be read; empty if none was read.
        recommended: the largest of them, before windows and limits; None if the sync failed or read none.
    """

    desired: int
    limited_by: LimitedBy
    answers: tuple[Proposal | str, ...] = ()
    recommended: int | None = None
    normalized: Normalized | None = None


def sync(
    hpa: Hpa,
    state: HpaState,
    *,
    replicas: int,
    status_replicas: int,
    pods: Sequence[Pod],
    values: Sequence[int | None],
    now_s: float,
) -> tuple[Sync, HpaState]:
    """Reconcile once.

    Args:
        replicas, status_replicas: `spec.replicas` and `status.replicas` of the scale.
        pods: all that the selector matches, terminating ones too.
        values: for each target, the external metric in thousandths or None; a CPU target reads the pods instead.
    """
    if not state.recommendations:  # the first count ever seen holds the down window
        state = replace(state, recommendations=(Recommendation(now_s, replicas),))
    if replicas == 0 and hpa.minimum != 0:
        return Sync(desired=0, limited_by=LimitedBy.OWNER), state
    if replicas > hpa.maximum:
        outcome = Sync(desired=hpa.maximum, limited_by=LimitedBy.MAX)
        return outcome, _after(hpa, state, replicas, hpa.maximum, now_s)
    if replicas < hpa.minimum:
        outcome = Sync(desired=hpa.minimum, limited_by=LimitedBy.MIN)
        return outcome, _after(hpa, state, replicas, hpa.minimum, now_s)

    answers: list[Proposal | str] = []
    for target, value in zip(hpa.targets, values, strict=True):
        try:
            answers.append(_proposal(hpa, target, value, replicas, status_replicas, pods, now_s))
        except MetricError as error:
            answers.append(str(error))
    proposals = [answer for answer in answers if isinstance(answer, Proposal)]
    recommended = 0
    for proposal in proposals:  # a 0 counts as "none yet", so a negative count can follow it
        if recommended == 0 or proposal.replicas > recommended:
            recommended = proposal.replicas
    if not proposals or (len(proposals) < len(answers) and recommended < replicas):
        return Sync(desired=replicas, limited_by=LimitedBy.MISSING_DATA, answers=tuple(answers)), state
    recommended = max(0, recommended)
    normalized = normalize(
        hpa.behaviors,
        state.recommendations,
        state.up_events,
        state.down_events,
        recommended,
        current=replicas,
        minimum=hpa.minimum,
        maximum=hpa.maximum,
        now_s=now_s,
    )
    limited_by = normalized.limited_by
    held = any(p.held for p in proposals if p.replicas == recommended)
    if held and limited_by is LimitedBy.NONE and normalized.replicas == replicas:
        limited_by = LimitedBy.TOLERANCE
    state = replace(state, recommendations=remembered(hpa.behaviors, state.recommendations, recommended, now_s=now_s))
    outcome = Sync(
        desired=normalized.replicas,
        limited_by=limited_by,
        answers=tuple(answers),
        recommended=recommended,
        normalized=normalized,
    )
    return outcome, _after(hpa, state, replicas, normalized.replicas, now_s)


def reads_metrics(hpa: Hpa, replicas: int) -> bool:
    """Whether a sync at this count asks for metric values at all."""
    return hpa.minimum <= replicas <= hpa.maximum and not (replicas == 0 and hpa.minimum != 0)


def tolerance_of(default: float, behavior: Behavior | None) -> Tolerance:
    """The tolerance of each direction; `behavior` may set its own (beta in Kubernetes 1.35)."""
    up = down = default
    if behavior is not None and behavior.scale_up is not None and behavior.scale_up.tolerance is not None:
        up = quantity_float(behavior.scale_up.tolerance)
    if behavior is not None and behavior.scale_down is not None and behavior.scale_down.tolerance is not None:
        down = quantity_float(behavior.scale_down.tolerance)
    return Tolerance(down=down, up=up)


def fresh(seen: PoolSeen, signal: Signal) -> Sample | None:
    """The sample that a metrics adapter would still serve."""
    sample = seen.signals.get(signal)
    return sample if sample is not None and sample.age_s <= PROMETHEUS_LOOKBACK_S else None


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaPolicy:
    """`autoscaling.by: hpa`."""

    scaling: HpaScaling
    hpa: Hpa

    name = "hpa"

    @classmethod
    def of(cls, scaling: HpaScaling) -> "HpaPolicy":
        targets = []
        if scaling.cpu_percent is not None:
            targets.append(Target(metric=Signal.CPU, type="Utilization", target=scaling.cpu_percent))
        if scaling.requests_per_second is not None:
            milli = quantity_milli(scaling.requests_per_second)
            targets.append(Target(metric=Signal.DEMAND, type="AverageValue", target=milli))
        targets.extend(Target(metric=m.metric, type=m.type, target=quantity_milli(m.target)) for m in scaling.metrics)
        hpa = Hpa(
            minimum=scaling.min,
            maximum=scaling.max,
            targets=tuple(targets),
            behaviors=settled(scaling.behavior),
            tolerance=tolerance_of(scaling.tolerance, scaling.behavior),
        )
        return cls(scaling=scaling, hpa=hpa)

    @property
    def interval_s(self) -> float:
        return self.scaling.sync_period_s

    def initial_state(self) -> HpaState:
        return HpaState()

    def decide(self, state: HpaState, seen: PoolSeen, *, now_s: float) -> tuple[Decision, HpaState]:
        read = {target.metric: fresh(seen, target.metric) for target in self.hpa.targets}
        values = [_milli(read[target.metric]) for target in self.hpa.targets]
        outcome, state = sync(
            self.hpa,
            state,
            replicas=seen.desired,
            status_replicas=seen.starting + seen.ready,
            pods=pods_of(seen, fresh(seen, Signal.CPU), now_s=now_s),
            values=values,
            now_s=now_s,
        )
        return Decision(
            time_s=now_s,
            component=seen.component,
            policy=self.name,
            current=seen.desired,
            desired=outcome.desired,
            limited_by=outcome.limited_by,
            reason=hpa_reason(self.hpa, outcome, values, current=seen.desired),
            seen=named({signal: sample for signal, sample in read.items() if sample is not None}),
            figures=figures(self.hpa, outcome),
        ), state


def figures(hpa: Hpa, outcome: Sync) -> dict[str, float]:
    """What a sync worked out, as a decision carries it."""
    result = {
        f"proposal_{target.metric}_{target.type.lower()}": float(answer.replicas)
        for target, answer in zip(hpa.targets, outcome.answers, strict=False)
        if isinstance(answer, Proposal)
    }
    if outcome.recommended is not None:
        result["recommended"] = float(outcome.recommended)
    return result


def _milli(sample: Sample | None) -> int | None:
    return None if sample is None else adapter_milli(sample.value)


def _proposal(
    hpa: Hpa,
    target: Target,
    value: int | None,
    replicas: int,
    status_replicas: int,
    pods: Sequence[Pod],
    now_s: float,
) -> Proposal:
    if target.type == "Utilization":
        return cpu_proposal(target.target, pods, current=replicas, tolerance=hpa.tolerance, now_s=now_s)
    if value is None:
        raise MetricError("no value")
    if target.type == "Value":
        return value_proposal(value, target.target, pods, current=replicas, tolerance=hpa.tolerance)
    return average_proposal(value, target.target, status_replicas=status_replicas, tolerance=hpa.tolerance)


def _after(hpa: Hpa, state: HpaState, replicas: int, desired: int, now_s: float) -> HpaState:
    """Remember a change of scale, which only the policies of a behaviour ever read."""
    if hpa.behaviors is None or desired == replicas:
        return state
    if desired > replicas:
        events = with_event(state.up_events, desired - replicas, hpa.behaviors.up, now_s=now_s)
        return replace(state, up_events=events)
    events = with_event(state.down_events, replicas - desired, hpa.behaviors.down, now_s=now_s)
    return replace(state, down_events=events)
