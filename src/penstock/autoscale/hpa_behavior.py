"""What a HorizontalPodAutoscaler makes of a recommendation: stabilisation windows, rate limits, bounds.

Two paths, and they differ. Without `behavior`: down is the highest recommendation of the last 300 s (one that is
exactly 300 s old still counts); up is at most the larger of twice the count and 4 a sync, with no memory. With it, even
an empty one: the count is pulled into [lowest of the up window, highest of the down window] (one exactly a window old
no longer counts), then limited by policies whose base is the count at the start of their period: now, minus what was
added, plus what was removed in it. These sums are 32 bits wide: a policy of 2147483647 pods, meant as "no limit", wraps
around and lets nothing scale up.

Recommendations and scale events are kept exactly as the controller keeps them: one that is outdated is overwritten by
the next, not dropped. So an event older than the longest policy of its own direction is lost though the other direction
may still have counted it, and a recommendation is found again if an edit of the spec lengthens the window.

Source: Kubernetes 1.34, pkg/controller/podautoscaler/horizontal.go; defaults: pkg/apis/autoscaling/v2/defaults.go.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from penstock.autoscale.hpa_metrics import as_int32, wrapped_int32
from penstock.messages.decision import LimitedBy
from penstock.messages.scaling_spec import Behavior, ScalingRules

DOWNSCALE_STABILIZATION_S = 300.0  # --horizontal-pod-autoscaler-downscale-stabilization
SCALE_UP_FACTOR = 2.0  # without behavior: at most twice the count,
SCALE_UP_MINIMUM = 4  # or this many, if more
NS_PER_S = 1_000_000_000  # the controller's clock; whole nanoseconds make ages on a window's end exact


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """At most `value` pods, or percent of the base, in each period."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One direction's behaviour, every field settled."""

    window_s: float
    select: Literal["Max", "Min", "Disabled"]
    policies: tuple[RatePolicy, ...]

    @property
    def longest_period_s(self) -> int:
        return max(policy.period_s for policy in self.policies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviors:
    """Both directions."""

    up: Rules
    down: Rules


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the metrics asked for at an instant."""

    at_s: float
    replicas: int


@dataclass(frozen=True, slots=True)
class ScaleEvent:
    """Pods added, or removed, at an instant; `outdated` ones are the next to be overwritten."""

    at_s: float
    change: int
    outdated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalized:
    """A recommendation after windows, limits and bounds. `stabilized` is the value between the two steps."""

    replicas: int
    stabilized: int
    limited_by: LimitedBy


def settled(behavior: Behavior | None) -> Behaviors | None:
    """Fill in Kubernetes' defaults. None stays None: that is another path, not the default behaviour."""
    if behavior is None:
        return None
    return Behaviors(
        up=_rules(behavior.scale_up, 0.0, (RatePolicy("Pods", 4, 15), RatePolicy("Percent", 100, 15))),
        down=_rules(behavior.scale_down, DOWNSCALE_STABILIZATION_S, (RatePolicy("Percent", 100, 15),)),
    )


def normalize(
    behaviors: Behaviors | None,
    recommendations: Sequence[Recommendation],
    up_events: Sequence[ScaleEvent],
    down_events: Sequence[ScaleEvent],
    proposal: int,
    *,
    current: int,
    minimum: int,
    maximum: int,
    now_s: float,
) -> Normalized:
    """Turn what the metrics ask for into the count to set."""
    if behaviors is None:
        return _plain(recommendations, proposal, current, minimum, maximum, now_s)
    stabilized = _between_windows(behaviors, recommendations, proposal, current, now_s)
    if stabilized > current:
        limit = max(current, _up_limit(current, up_events, down_events, behaviors.up, now_s))
        allowed, which = (limit, LimitedBy.RATE) if maximum > limit else (maximum, LimitedBy.MAX)
        replicas = min(stabilized, allowed)
    elif stabilized < current:
        limit = min(current, _down_limit(current, up_events, down_events, behaviors.down, now_s))
        allowed, which = (limit, LimitedBy.RATE) if minimum < limit else (minimum, LimitedBy.MIN)
        replicas = max(stabilized, allowed)
    else:
        replicas, which = stabilized, LimitedBy.NONE
    return _normalized(proposal, stabilized, replicas, which)


def remembered(
    behaviors: Behaviors | None, recommendations: Sequence[Recommendation], proposal: int, *, now_s: float
) -> tuple[Recommendation, ...]:
    """The recommendations with one more, in the place of the last outdated one if there is any."""
    window_s = DOWNSCALE_STABILIZATION_S if behaviors is None else max(behaviors.up.window_s, behaviors.down.window_s)
    window_ns = _ns(window_s)
    kept = list(recommendations)
    places = [i for i, one in enumerate(kept) if _age_ns(one.at_s, now_s) > window_ns]
    if places:
        kept[places[-1]] = Recommendation(now_s, proposal)
    else:
        kept.append(Recommendation(now_s, proposal))
    return tuple(kept)


def with_event(events: Sequence[ScaleEvent], change: int, rules: Rules, *, now_s: float) -> tuple[ScaleEvent, ...]:
    """The events with one more, in the place of the last outdated one if there is any."""
    period_ns = _ns(rules.longest_period_s)
    marked = [replace(event, outdated=True) if _age_ns(event.at_s, now_s) > period_ns else event for event in events]
    places = [i for i, event in enumerate(marked) if event.outdated]
    if places:
        marked[places[-1]] = ScaleEvent(now_s, change)
    else:
        marked.append(ScaleEvent(now_s, change))
    return tuple(marked)


def _plain(
    recommendations: Sequence[Recommendation], proposal: int, current: int, minimum: int, maximum: int, now_s: float
) -> Normalized:
    window_ns = _ns(DOWNSCALE_STABILIZATION_S)
    recent = [r.replicas for r in recommendations if _age_ns(r.at_s, now_s) <= window_ns]
    stabilized = max([proposal, *recent])
    limit = int(max(SCALE_UP_FACTOR * current, SCALE_UP_MINIMUM))
    allowed, which = (limit, LimitedBy.RATE) if maximum > limit else (maximum, LimitedBy.MAX)
    if stabilized < minimum:
        return _normalized(proposal, stabilized, minimum, LimitedBy.MIN)
    return _normalized(proposal, stabilized, min(stabilized, allowed), which)


def _between_windows(
    behaviors: Behaviors, recommendations: Sequence[Recommendation], proposal: int, current: int, now_s: float
) -> int:
    up_ns, down_ns = _ns(behaviors.up.window_s), _ns(behaviors.down.window_s)
    lowest = min([proposal, *(r.replicas for r in recommendations if _age_ns(r.at_s, now_s) < up_ns)])
    highest = max([proposal, *(r.replicas for r in recommendations if _age_ns(r.at_s, now_s) < down_ns)])
    return min(max(current, lowest), highest)


def _up_limit(
    current: int, up_events: Sequence[ScaleEvent], down_events: Sequence[ScaleEvent], rules: Rules, now_s: float
) -> int:
    if rules.select == "Disabled":
        return current
    proposals = []
    for policy in rules.policies:
        base = _base(current, up_events, down_events, policy.period_s, now_s)
        if policy.kind == "Pods":
            proposals.append(wrapped_int32(base + policy.value))
        else:  # rounded up, or a small count could never grow
            proposals.append(as_int32(math.ceil(base * (1 + policy.value / 100))))
    return min(proposals) if rules.select == "Min" else max(proposals)


def _down_limit(
    current: int, up_events: Sequence[ScaleEvent], down_events: Sequence[ScaleEvent], rules: Rules, now_s: float
) -> int:
    if rules.select == "Disabled":
        return current
    proposals = []
    for policy in rules.policies:
        base = _base(current, up_events, down_events, policy.period_s, now_s)
        if policy.kind == "Pods":
            proposals.append(base - policy.value)
        else:  # cut, as a conversion to a whole number does
            proposals.append(int(base * (1 - policy.value / 100)))
    return max(proposals) if rules.select == "Min" else min(proposals)


def _base(
    current: int, up_events: Sequence[ScaleEvent], down_events: Sequence[ScaleEvent], period_s: int, now_s: float
) -> int:
    """Replicas at the start of the period. An event exactly one period old no longer counts."""
    period_ns = _ns(period_s)
    added = sum(event.change for event in up_events if _age_ns(event.at_s, now_s) < period_ns)
    removed = sum(event.change for event in down_events if _age_ns(event.at_s, now_s) < period_ns)
    return current - added + removed


def _normalized(proposal: int, stabilized: int, replicas: int, which: LimitedBy) -> Normalized:
    if replicas != stabilized:
        limited_by = which
    elif stabilized != proposal:
        limited_by = LimitedBy.STABILIZATION
    else:
        limited_by = LimitedBy.NONE
    return Normalized(replicas=replicas, stabilized=stabilized, limited_by=limited_by)


def _rules(given: ScalingRules | None, window_s: float, policies: tuple[RatePolicy, ...]) -> Rules:
    if given is None:
        return Rules(window_s=window_s, select="Max", policies=policies)
    if given.policies:
        policies = tuple(RatePolicy(rule.type, rule.value, rule.period_s) for rule in given.policies)
    if given.stabilization_window_s is not None:
        window_s = given.stabilization_window_s
    return Rules(window_s=window_s, select=given.select_policy, policies=policies)


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def _age_ns(at_s: float, now_s: float) -> int:
    return _ns(now_s) - _ns(at_s)
