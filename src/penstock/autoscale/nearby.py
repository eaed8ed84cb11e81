"""What one replica holds at a mix that is like one rehearsed: the rehearsed answer, bent as the formula bends.

A rehearsal takes a tenth of a second, and a mix moves all day. How the answer changes with each figure the formula
(`estimate`) knows better than the answer itself. So a rehearsal stands until the figures have moved too far for that;
then the mix is rehearsed anew. Figures that hardly matter (outputs of a few tokens after long prompts) cost nothing.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from penstock.autoscale.arrivals import Mix
from penstock.autoscale.capacity import Capacity, capacity, loosened
from penstock.autoscale.estimate import estimate
from penstock.autoscale.rehearsal import Replica, Targets

NEAR = math.log(1.25)  # what all figures together may change the formula by, each taken alone, whatever its sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: the highest rate at which this replica holds these targets at this mix."""

    replica: Replica
    mix: Mix
    targets: Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it `holds`, and which question was rehearsed to know it."""

    asked: Question
    rehearsed: Question
    holds: Capacity


def answer(before: Answer | None, asked: Question) -> Answer:
    """Answer by the rehearsal before, if the mix is still near that one; else by a new one."""
    holds = nearby(before.rehearsed, asked) if before else None
    if before and holds:
        return Answer(asked=asked, rehearsed=before.rehearsed, holds=holds)
    return Answer(asked=asked, rehearsed=asked, holds=capacity(asked.replica, asked.mix, asked.targets))


@lru_cache(maxsize=512)
def nearby(rehearsed: Question, asked: Question) -> Capacity | None:
    """What is asked, by what was rehearsed and the formula. None: they are too far apart."""
    at = capacity(rehearsed.replica, rehearsed.mix, rehearsed.targets)
    before = estimate(rehearsed.replica, rehearsed.mix, rehearsed.targets)
    moved = [estimate(rehearsed.replica, mix, rehearsed.targets) for mix in _one_by_one(rehearsed.mix, asked.mix)]
    if sum(abs(math.log(rate / before)) for rate in moved) > NEAR:
        return None
    targets = loosened(asked.targets, at.relaxed)
    bends = estimate(asked.replica, asked.mix, targets) / estimate(rehearsed.replica, rehearsed.mix, at.targets)
    return replace(at, rate=at.rate * bends, targets=targets)


def _one_by_one(before: Mix, after: Mix) -> list[Mix]:
    """The mix before, with one figure of the mix after in each."""
    changes = [
        {"isl": after.isl, "isl_p95": after.isl * before.isl_p95 / before.isl},
        {"isl_p95": before.isl * after.isl_p95 / after.isl},
        {"osl": after.osl, "osl_p95": after.osl * before.osl_p95 / before.osl},
        {"osl_p95": before.osl * after.osl_p95 / after.osl},
        {"hit_ratio": after.hit_ratio},
        {"dispersed": after.dispersed},
    ]
    return [replace(before, **change) for change in changes]
