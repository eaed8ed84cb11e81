"""The sentence behind a planner's decision: demand, forecast, what one replica holds, what is needed, what held it."""

import math
from dataclasses import dataclass

from penstock.autoscale.answers_for import Missed
from penstock.autoscale.arrivals import Mix
from penstock.autoscale.capacity import Capacity
from penstock.autoscale.demand import Reading
from penstock.autoscale.forecast import Forecast
from penstock.autoscale.guardrails import Guarded, Limits
from penstock.autoscale.sentences import duration, move, number, verb
from penstock.messages.decision import LimitedBy
from penstock.messages.worker import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Sequences that decode at once; `in_time`: how many of them one replica keeps within the ITL; `need`: replicas."""

    sequences: float
    in_time: float
    need: int


NOBODY = Crowd(sequences=0, in_time=1, need=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that one planner's decision rests on.

    Args:
        per_replica: requests/s that one replica holds, rehearsed and corrected.
        waiting: requests that wait beyond what a healthy pool has waiting; worked off within `work_off_s`.
        calm: requests/s that must fit beyond the forecast before one goes; 0 if that changes nothing.
        kv_need: replicas that the KV cache asks for, if that is more than demand does; else 0.
        crowd: who decodes now, if that asks for more replicas than all else.
        missed: targets that are missed now, if that is why none may go.
        need, need_now: replicas needed, with and without the forecast.
    """

    role: Role
    reading: Reading
    forecast: Forecast | None
    quantile: float
    mix: Mix
    capacity: Capacity
    per_replica: float
    waiting: float
    work_off_s: float
    calm: float
    kv_need: int
    crowd: Crowd
    missed: tuple[Missed, ...]
    need: int
    need_now: int


def planner_reason(plan: Plan, limits: Limits, guarded: Guarded, *, current: int) -> str:
    """One sentence from which the sum can be redone."""
    desired = guarded.desired
    if desired == current == 0 and plan.need == 0:
        if plan.reading.rate is None:
            return "Demand is unknown and nobody is known to wait; staying at 0."
        return "No request now and none waiting; staying at 0."
    parts = [_demand(plan), _capacity(plan), _outcome(plan, limits, guarded, current)]
    return "; ".join(part for part in parts if part) + "."


def _demand(plan: Plan) -> str:
    reading, ahead = plan.reading, plan.forecast
    if ahead is None:
        text = "Demand is unknown" if reading.rate is None else f"{number(reading.rate)} requests/s now"
    elif reading.silent and not plan.need:
        text = "0 requests/s now"
    else:
        level = f"{number(ahead.level)} requests/s"
        if reading.rate is None:
            text = f"Demand is unknown now and was {level}"
        else:
            text = f"{level} now" if reading.rate else f"No request now, {level} lately"
        text += f", up to {number(ahead.upper)} expected within {duration(ahead.horizon_s)} ({100 * plan.quantile:g} %)"
        if ahead.share < 1:
            text += f", at {100 * ahead.share:.0f} % of the margin, since more was not needed so far"
        if plan.calm:
            text += f" and {number(plan.calm)} more to be sure before one goes"
    if plan.waiting:
        text += f", and {number(plan.waiting)} too many waiting, to be worked off within {duration(plan.work_off_s)}"
    return text


def _capacity(plan: Plan) -> str:
    text = f"one replica holds {number(plan.per_replica)} within {_targets(plan)}"
    if plan.capacity.relaxed > 1:
        text += f", {plan.capacity.relaxed:g} times the target, which no count would hold at this mix"
    if plan.need == 0:
        return f"{text}, so none is needed"
    if plan.missed:
        late = " and ".join(
            f"{missed.name} is {duration(missed.measured_s)} against {duration(missed.target_s)}"
            for missed in plan.missed
        )
        return f"{text}, but {late} with what there is, so none may go"
    crowd = plan.crowd
    if crowd.need == plan.need:
        return (
            f"{text}, but {number(crowd.sequences)} requests decode at once and one replica keeps "
            f"{number(math.floor(crowd.in_time))} of them in time, so {plan.need} {verb(plan.need)} needed"
        )
    because = ""
    if plan.kv_need == plan.need and plan.kv_need > 1:
        because = f" with {100 * (plan.reading.kv_usage or 0):.0f} % of the KV cache in use"
    return f"{text}, so {plan.need} {verb(plan.need)} needed{because}"


def _targets(plan: Plan) -> str:
    """What a replica of this role is asked to hold, by the names that the spec gives."""
    targets = plan.capacity.targets
    if targets.itl_s is None:
        return f"TTFT {duration(targets.ttft_s)}"
    if plan.role is Role.DECODE:
        return f"ITL {duration(targets.itl_s)} and {duration(targets.ttft_s)} of waiting to decode"
    return f"TTFT {duration(targets.ttft_s)} and ITL {duration(targets.itl_s)}"


def _outcome(plan: Plan, limits: Limits, guarded: Guarded, current: int) -> str:
    to = move(current, guarded.desired)
    match guarded.limited_by:
        case LimitedBy.MAX:
            return f"{to}, the maximum"
        case LimitedBy.MIN:
            return f"{to}, the minimum"
        case LimitedBy.RATE:
            return f"{to}, at most {limits.step_in(current)} at a time"
        case LimitedBy.COOL_IN:
            return f"{to} for another {duration(guarded.wait_s or 0)} of the cool-in of {duration(limits.cool_in_s)}"
        case LimitedBy.COOL_OUT:
            return f"{to} for another {duration(guarded.wait_s or 0)} of the cool-out of {duration(limits.cool_out_s)}"
        case LimitedBy.FORECAST:
            return f"{plan.need_now} would do now, but the forecast would take them back; {to}"
        case LimitedBy.MISSING_DATA | LimitedBy.STALE_DATA:
            names = ", ".join(str(signal) for signal in plan.reading.blockers)
            state = "missing" if guarded.limited_by is LimitedBy.MISSING_DATA else "too old"
            many = "is" if len(plan.reading.blockers) == 1 else "are"
            return f"{names} {many} {state}, and nothing scales in on no data; {to}"
        case _:
            return to
