"""A KEDA ScaledObject and the HorizontalPodAutoscaler that it makes: who does what, to the letter.

KEDA itself only moves between zero (or `idleReplicas`) and one (or `min`): at each poll, active means up at once,
inactive means down once the last activity is more than the cool-down ago. Everything else is the HPA's, with
min = max(1, min), so with min >= 1 and no idle count neither cool-down nor polling interval does anything: what holds
is the HPA's 300 s window. The way to zero does not pass the HPA's windows and policies.

Polls and syncs keep their own instants, so both may have any period. Not here: pausing by annotation, modifiers.

Source: KEDA 2.18, pkg/scaling/executor/scale_scaledobjects.go, controllers/keda/hpa.go.
"""

import math
from dataclasses import dataclass, field, replace

from penstock.autoscale.base import named
from penstock.autoscale.hpa import Hpa, HpaState, Target, figures, fresh, reads_metrics, sync, tolerance_of
from penstock.autoscale.hpa_behavior import settled
from penstock.autoscale.hpa_metrics import MetricError
from penstock.autoscale.hpa_pods import pods_of, running_and_ready
from penstock.autoscale.hpa_reason import hpa_reason
from penstock.autoscale.keda_triggers import fallback_milli, is_active, trigger_milli, trigger_value
from penstock.autoscale.sentences import duration, number
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import PoolSeen
from penstock.messages.scaling_spec import KedaScaling, KedaTrigger

# The finest common beat of poll and sync that is worth waking up for.
FINEST_INTERVAL_S = 0.1
# Sums of periods differ from their multiples in the last bits; a beat must not be missed for that.
DUE_SLACK_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaState:
    """What KEDA and its HPA remember.

    Args:
        last_active_s: when a poll last saw a trigger active; None if never.
        failures: for each trigger, failed reads in a row; empty before the first.
    """

    hpa: HpaState = field(default_factory=HpaState)
    next_poll_s: float | None = None
    next_sync_s: float | None = None
    last_active_s: float | None = None
    failures: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What one of the two made of the count."""

    replicas: int
    limited_by: LimitedBy
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaPolicy:
    """`autoscaling.by: keda`."""

    scaling: KedaScaling
    hpa: Hpa

    name = "keda"

    @classmethod
    def of(cls, scaling: KedaScaling) -> "KedaPolicy":
        hpa = Hpa(
            minimum=max(1, scaling.min),
            maximum=scaling.max,
            targets=tuple(
                Target(metric=t.metric, type=t.metric_type, target=max(1, int(t.threshold * 1000)))
                for t in scaling.triggers
            ),
            behaviors=settled(scaling.behavior),
            tolerance=tolerance_of(scaling.tolerance, scaling.behavior),
        )
        return cls(scaling=scaling, hpa=hpa)

    @property
    def interval_s(self) -> float:
        """The common beat of polls and syncs."""
        poll, beat = (round(1000 * s) for s in (self.scaling.polling_interval_s, self.scaling.sync_period_s))
        return max(math.gcd(poll, beat) / 1000, FINEST_INTERVAL_S)

    def initial_state(self) -> KedaState:
        return KedaState(failures=(0,) * len(self.scaling.triggers))

    def decide(self, state: KedaState, seen: PoolSeen, *, now_s: float) -> tuple[Decision, KedaState]:
        scaling = self.scaling
        if state.next_poll_s is None or state.next_sync_s is None:
            # KEDA polls as it starts; the HPA that it makes first syncs one period later.
            state = replace(state, next_poll_s=now_s, next_sync_s=now_s + scaling.sync_period_s)
        step = _Step(replicas=seen.desired, limited_by=LimitedBy.NONE, reason="")
        reasons = []
        results: dict[str, float] = {}
        read = {trigger.metric: fresh(seen, trigger.metric) for trigger in scaling.triggers}
        answers = [_answer(t, s.value if (s := read[t.metric]) is not None else None) for t in scaling.triggers]
        if state.next_poll_s is not None and now_s + DUE_SLACK_S >= state.next_poll_s:
            step, state = self._poll(state, answers, step.replicas, now_s)
            state = replace(state, next_poll_s=_next(state.next_poll_s or now_s, scaling.polling_interval_s, now_s))
            reasons.append(step.reason)
        if state.next_sync_s is not None and now_s + DUE_SLACK_S >= state.next_sync_s:
            step, results, state = self._sync(state, answers, seen, step, now_s)
            state = replace(state, next_sync_s=_next(state.next_sync_s or now_s, scaling.sync_period_s, now_s))
            reasons.append(step.reason)
        if not reasons:
            due = min(state.next_poll_s or now_s, state.next_sync_s or now_s)
            reasons.append(f"Nothing is due for another {duration(due - now_s)}; staying at {seen.desired}.")
        return Decision(
            time_s=now_s,
            component=seen.component,
            policy=self.name,
            current=seen.desired,
            desired=step.replicas,
            limited_by=step.limited_by,
            reason=" ".join(reason for reason in reasons if reason),
            seen=named({signal: sample for signal, sample in read.items() if sample is not None}),
            figures=results,
        ), state

    def _poll(
        self, state: KedaState, answers: list[float | str], current: int, now_s: float
    ) -> tuple[_Step, KedaState]:
        """KEDA's own part: between zero or idle, and one or min."""
        scaling, idle = self.scaling, self.scaling.idle_replicas
        active = [
            (trigger, answer)
            for trigger, answer in zip(scaling.triggers, answers, strict=True)
            if not isinstance(answer, str) and is_active(trigger, answer)
        ]
        failed = any(isinstance(answer, str) for answer in answers)
        if active:
            trigger, value = active[0]
            why = f"KEDA: {trigger.metric} is {number(value)}, above the activation {trigger.activation_threshold:g}"
            if current == 0 or (idle is not None and current < scaling.min):
                up = max(1, scaling.min)
                state = replace(state, last_active_s=now_s)
                return _step(up, LimitedBy.NONE, f"{why}; waking from {current} to {up}."), state
            if not failed:  # a failed trigger beside an active one does not renew the activity
                state = replace(state, last_active_s=now_s)
            return _step(current, LimitedBy.NONE, f"{why}, so active."), state
        if failed and (scaling.fallback is None or scaling.fallback.replicas != 0):
            return _step(
                current, LimitedBy.MISSING_DATA, "KEDA: a trigger cannot be read, so nothing is put to sleep."
            ), state
        if (idle is not None and current > idle) or (current > 0 and scaling.min == 0):
            return self._sleep(state, current, now_s), state
        if current < scaling.min and idle is None:
            return _step(scaling.min, LimitedBy.MIN, f"KEDA: {current} is below the minimum {scaling.min}."), state
        return _step(current, LimitedBy.NONE, "KEDA: no trigger is active and nothing is to do."), state

    def _sleep(self, state: KedaState, current: int, now_s: float) -> _Step:
        """Down to zero or idle, past every window of the HPA, once the cool-down is over."""
        scaling = self.scaling
        down = scaling.idle_replicas if scaling.idle_replicas is not None else scaling.min
        if state.last_active_s is None:
            return _step(down, LimitedBy.NONE, f"KEDA: no trigger was ever active; going from {current} to {down}.")
        idle_s = now_s - state.last_active_s
        if idle_s > scaling.cooldown_period_s:
            why = f"KEDA: no trigger was active for {duration(idle_s)}, over the cool-down of "
            return _step(
                down, LimitedBy.NONE, f"{why}{duration(scaling.cooldown_period_s)}; going from {current} to {down}."
            )
        why = f"KEDA: no trigger is active, but the last was {duration(idle_s)} ago, within the cool-down of "
        return _step(current, LimitedBy.COOL_IN, f"{why}{duration(scaling.cooldown_period_s)}.")

    def _sync(
        self, state: KedaState, answers: list[float | str], seen: PoolSeen, before: _Step, now_s: float
    ) -> tuple[_Step, dict[str, float], KedaState]:
        """The HPA's part: from one (or min) to max."""
        pods = pods_of(seen, None, now_s=now_s)
        values: list[int | None] = [None] * len(answers)
        if reads_metrics(self.hpa, before.replicas):
            ready = running_and_ready(pods)
            failures = tuple(
                n + 1 if isinstance(answer, str) else 0 for n, answer in zip(state.failures, answers, strict=True)
            )
            state = replace(state, failures=failures)
            values = [
                self._hpa_value(trigger, answer, count, before.replicas, ready)
                for trigger, answer, count in zip(self.scaling.triggers, answers, failures, strict=True)
            ]
        outcome, hpa_state = sync(
            self.hpa,
            state.hpa,
            replicas=before.replicas,
            status_replicas=seen.starting + seen.ready,
            pods=pods,
            values=values,
            now_s=now_s,
        )
        state = replace(state, hpa=hpa_state)
        if outcome.limited_by is LimitedBy.OWNER:  # asleep: KEDA's to wake, and its own reason says why not
            return replace(before, reason="" if before.reason else "Asleep at 0; only KEDA wakes it."), {}, state
        reason = "HPA: " + hpa_reason(self.hpa, outcome, values, current=before.replicas)
        limited_by = before.limited_by if outcome.limited_by is LimitedBy.NONE else outcome.limited_by
        return _step(outcome.desired, limited_by, reason), figures(self.hpa, outcome), state

    def _hpa_value(
        self, trigger: KedaTrigger, answer: float | str, failures: int, current: int, ready: int
    ) -> int | None:
        if not isinstance(answer, str):
            return trigger_milli(answer)
        fallback = self.scaling.fallback
        if fallback is None or failures <= fallback.failure_threshold:
            return None
        return fallback_milli(fallback, trigger, current=current, ready=ready)


def _answer(trigger: KedaTrigger, value: float | None) -> float | str:
    try:
        return trigger_value(trigger, value)
    except MetricError as error:
        return str(error)


def _next(due_s: float, period_s: float, now_s: float) -> float:
    """The first instant of the beat after now: missed ones are skipped, the beat itself does not drift."""
    return due_s + (math.floor((now_s + DUE_SLACK_S - due_s) / period_s) + 1) * period_s


def _step(replicas: int, limited_by: LimitedBy, reason: str) -> _Step:
    return _Step(replicas=replicas, limited_by=limited_by, reason=reason)
