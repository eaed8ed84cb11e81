"""What keeps a count from following every figure: bounds, calm on the way in, and no trust in what was not seen.

The order is that of harm. Bounds hold always. Scaling out is only ever held by the cool-out. Scaling in needs all of:
every signal there and fresh; the forecast agreeing; the lower need having held for the whole cool-in; the last change
at least a cool-in ago; and then goes at most `max_step_in` at a time (by default half of them).

State is instants only, and bounded: of the needs in the window, only those that a later one does not exceed are kept.
"""

from dataclasses import dataclass, replace

from penstock.messages.decision import LimitedBy

# Instants are sums of floats; a cool-in of 60 s must not become 65 s for the last bit.
SLACK_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A pool's guardrails, as its spec states them. `max_step_in` None: half of what is there."""

    minimum: int
    maximum: int
    cool_in_s: float
    cool_out_s: float
    max_step_in: int | None

    def step_in(self, current: int) -> int:
        """Replicas that may go at once."""
        return self.max_step_in if self.max_step_in is not None else -(-current // 2)


@dataclass(frozen=True, slots=True)
class Need:
    """How many replicas were needed at an instant."""

    at_s: float
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardState:
    """Needs of the last cool-in, falling; the first look; when it last scaled out and in; what it last asked for."""

    needs: tuple[Need, ...] = ()
    first_s: float | None = None
    last_out_s: float | None = None
    last_in_s: float | None = None
    asked: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """The count to set, and what kept it from the need. `wait_s`: how long it will, where that is known."""

    desired: int
    limited_by: LimitedBy
    wait_s: float | None = None


def guard(
    limits: Limits,
    state: GuardState,
    *,
    current: int,
    need: int,
    need_now: int,
    blocked: LimitedBy | None,
    now_s: float,
) -> tuple[Guarded, GuardState]:
    """Limit a need.

    Args:
        need: what the figures ask for, forecast included; `need_now`: without the forecast.
        blocked: why nothing may scale in, if so.
    """
    state = _seen(limits, state, current, need, now_s)
    guarded = _limited(limits, state, current, need, need_now, blocked, now_s)
    if guarded.desired > current:
        state = replace(state, last_out_s=now_s)
    elif guarded.desired < current:
        state = replace(state, last_in_s=now_s)
    return guarded, replace(state, asked=guarded.desired)


def _seen(limits: Limits, state: GuardState, current: int, need: int, now_s: float) -> GuardState:
    """Take in the present: the need, and a change of scale that somebody else made."""
    asked = state.asked
    if asked is None:
        state = replace(state, first_s=now_s)  # the first count ever seen was somebody's choice: a cool-in holds it
    elif current > asked:
        state = replace(state, last_out_s=now_s)
    elif current < asked:
        state = replace(state, last_in_s=now_s)
    since_s = now_s - limits.cool_in_s
    kept = [n for n in state.needs if n.at_s > since_s + SLACK_S and n.replicas > need]
    return replace(state, needs=(*kept, Need(now_s, need)))


def _limited(
    limits: Limits,
    state: GuardState,
    current: int,
    need: int,
    need_now: int,
    blocked: LimitedBy | None,
    now_s: float,
) -> Guarded:
    bounded = _bounded(limits, need)
    at_bound = LimitedBy.MAX if need > limits.maximum else LimitedBy.MIN if need < limits.minimum else LimitedBy.NONE
    if current > limits.maximum:
        return Guarded(desired=limits.maximum, limited_by=LimitedBy.MAX)
    if current < limits.minimum:
        return Guarded(desired=max(bounded, limits.minimum), limited_by=at_bound)
    if bounded > current:
        waited_s = now_s - state.last_out_s if state.last_out_s is not None else limits.cool_out_s
        # Waking from zero never waits: requests are held meanwhile.
        if current > 0 and waited_s + SLACK_S < limits.cool_out_s:
            return Guarded(desired=current, limited_by=LimitedBy.COOL_OUT, wait_s=limits.cool_out_s - waited_s)
        return Guarded(desired=bounded, limited_by=at_bound)
    if bounded == current:
        if at_bound is LimitedBy.NONE and _bounded(limits, need_now) < current:
            return Guarded(desired=current, limited_by=LimitedBy.FORECAST)
        return Guarded(desired=current, limited_by=at_bound)
    if blocked is not None:
        return Guarded(desired=current, limited_by=blocked)
    last_s = max(at_s for at_s in (state.first_s, state.last_out_s, state.last_in_s) if at_s is not None)
    higher = [n for n in state.needs if _bounded(limits, n.replicas) >= current]
    if higher:
        last_s = max(last_s, higher[-1].at_s)
    wait_s = limits.cool_in_s - (now_s - last_s)
    if wait_s > SLACK_S:
        return Guarded(desired=current, limited_by=LimitedBy.COOL_IN, wait_s=wait_s)
    target = _bounded(limits, state.needs[0].replicas)  # the highest of the window: needs are kept falling
    step = limits.step_in(current)
    if target < current - step:
        return Guarded(desired=current - step, limited_by=LimitedBy.RATE)
    return Guarded(desired=target, limited_by=at_bound)


def _bounded(limits: Limits, replicas: int) -> int:
    return min(max(replicas, limits.minimum), limits.maximum)
