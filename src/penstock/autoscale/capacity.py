"""How many requests per second one replica holds under its targets: a search over rehearsals, remembered by mix.

The answer is a function of its arguments alone: it does not depend on what was asked before, so two runs that see the
same, decide the same. Rates lie on a grid of their own, so it does not depend on where the search began either: near an
estimate by formula it strides ever wider until a rate that holds and one that does not are known, then halves.

Some targets cannot be held at any rate (one long prompt alone takes longer), and near those the rate falls off a
cliff. So targets that no rate holds are doubled until one does, and a rate that leaves the engine nearly idle is
weighed against half of that at twice the target, and so on; the best counts, and the answer says which targets it
holds. Hence a target is held at twice the replicas at most, and a pool that misses its targets still keeps its queue
from growing.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from penstock.autoscale.arrivals import Mix
from penstock.autoscale.estimate import estimate, saturated
from penstock.autoscale.rehearsal import Replica, Targets, alone_too_late, holds

STEP = 1.07  # of the grid of rates; chance in a rehearsal is as much
STRIDES = (2, 6, 20, 60)  # in steps of the grid: the answer is within 15 % of the estimate, 1.7, 6.6, 385 times
LOWEST = 1 / 40  # of the rate at which an engine is never idle; one that fails there fails alone
WORTHWHILE = 0.2  # of the same: a rate below is that of an engine kept nearly idle
DOUBLINGS = 6
WORTH = 0.5  # of the rate at twice the target: to hold a target may cost twice the replicas, and no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """`rate` in requests/s, and the targets that it holds: those asked for, or `relaxed` times them."""

    rate: float
    targets: Targets
    relaxed: float = 1.0


@lru_cache(maxsize=512)
def capacity(replica: Replica, mix: Mix, targets: Targets) -> Capacity:
    """The highest rate at which one replica holds the targets, rehearsed."""
    busy = saturated(replica, mix, targets)
    nearly_idle: list[Capacity] = []  # targets that some rate holds, but none worth having; `rate`: what one is worth
    worth = 1.0
    for doubling in range(DOUBLINGS):
        relaxed = 2.0**doubling
        held = loosened(targets, relaxed)
        rate = _highest(replica, mix, held, least=WORTHWHILE * busy)
        if rate is not None:
            break
        if not alone_too_late(replica, mix, held) and holds(replica, mix, held, LOWEST * busy):
            nearly_idle.append(Capacity(rate=worth, targets=held, relaxed=relaxed))
            worth *= WORTH  # what nothing holds is given up for nothing
    best = Capacity(rate=worth * (rate or LOWEST * busy), targets=held, relaxed=relaxed)
    for idle in reversed(nearly_idle):
        rate = _highest(replica, mix, idle.targets, least=best.rate / idle.rate)
        if rate is not None:
            best = replace(idle, rate=idle.rate * rate)
    return best


def _highest(replica: Replica, mix: Mix, targets: Targets, *, least: float) -> float | None:
    """The highest rate that holds and is at least `least`, to half a step of the grid; None, if there is none."""
    if alone_too_late(replica, mix, targets):
        return None
    bottom = math.ceil(math.log(least, STEP) - 1e-9)

    def in_time(place: int) -> bool:
        return holds(replica, mix, targets, STEP**place)

    start = low = high = max(bottom, round(math.log(estimate(replica, mix, targets), STEP)))
    if in_time(start):
        for stride in STRIDES:
            high = low + stride
            if not in_time(high):
                break
            low = high
        else:
            return STEP**low
    else:
        for stride in STRIDES:
            if high == bottom:
                return None
            low = max(bottom, high - stride)
            if in_time(low):
                break
            high = low
        else:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if in_time(middle) else (low, middle)
    return math.pow(STEP, low + 0.5)  # somewhere in between, as likely above as below


def loosened(targets: Targets, factor: float) -> Targets:
    """The targets, `factor` times as long."""
    if factor == 1.0:
        return targets
    itl_s = None if targets.itl_s is None else targets.itl_s * factor
    return replace(targets, ttft_s=targets.ttft_s * factor, itl_s=itl_s)
