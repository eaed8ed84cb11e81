"""How much of its margin a forecast really needed: minute by minute, afterwards.

Each minute that is over is scored: the least share of the margin (upper less level) with which the forecasts that were
then in force, those made a lead time before and held since, would have asked for enough replicas. Of the scores the
conformal quantile is the share to take from now on: were minutes exchangeable, the next would be missed with the
probability that the quantile allows, whatever the forecast is worth. It takes 99 scores to know the 0.99 quantile;
with fewer all of the margin is taken. More than all of it never is: what nobody could foresee is no reason to pay for
ever.

A minute that missed its targets counts as one that needed all of it, whatever its demand.

Several looks may each be enough (the highest of those in force counts), replicas are whole, and bursts are rehearsed:
each makes a margin at a quantile cover more than that quantile. What they make of it together is measured here.

Source: Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World" (split conformal prediction); over a rolling
window, since demand changes.
"""

import math
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

MINUTE_S = 60.0
MAX_SCORES = 1440  # a day
MAX_MADE = 180  # minutes: what a lead time of two hours, and its hold, need
LEAST_MARGIN = 1e-6  # requests/s
BEGUN = 0.01  # of a replica: a demand that is so much more than a whole number of them asks for one more


@dataclass(frozen=True, slots=True)
class Made:
    """The forecast of a minute with the highest upper end, in requests/s."""

    minute: int
    level: float
    margin: float

    @property
    def upper(self) -> float:
        return self.level + self.margin


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Forecasts not yet scored and scores, the newest last; and the share of a margin to take."""

    made: tuple[Made, ...] = ()
    scores: tuple[float, ...] = ()
    share: float = 1.0

    def looked(
        self,
        level: float,
        margin: float,
        *,
        now_s: float,
        rate_since: Callable[[float], float],
        per_replica: float | None,
        late: bool,
        lead_s: float,
        held_s: float,
        quantile: float,
    ) -> "Coverage":
        """With one forecast more; and the minute before scored, if this look is the first one after it.

        Args:
            level, margin: requests/s. rate_since: the mean demand since an instant.
            per_replica: requests/s that one replica carries. late: whether a target is missed now.
            held_s: for how long a forecast keeps replicas.
        """
        minute = math.floor(now_s / MINUTE_S)
        after = self
        if self.made and self.made[-1].minute != minute:
            after = replace(self, made=self.made[-MAX_MADE:])
            if self.made[-1].minute == minute - 1 and per_replica:
                rate = rate_since((minute - 1) * MINUTE_S)
                after = after._over(minute - 1, rate, per_replica, late, lead_s, held_s, quantile)
        new = Made(minute, level, max(margin, LEAST_MARGIN))
        if not after.made or after.made[-1].minute != minute:
            return replace(after, made=(*after.made, new))
        last = after.made[-1]
        return after if last.upper >= new.upper else replace(after, made=(*after.made[:-1], new))

    def _over(
        self, minute: int, rate: float, per_replica: float, late: bool, lead_s: float, held_s: float, quantile: float
    ) -> "Coverage":
        last = minute - math.ceil(lead_s / MINUTE_S) - 1
        first = last + 1 - max(1, math.floor(held_s / MINUTE_S))
        in_force = [each for each in self.made if first <= each.minute <= last]
        if not in_force:
            return self
        asked = (math.ceil(rate / per_replica) - 1 + BEGUN) * per_replica  # the least that asks for enough replicas
        score = min((asked - each.level) / each.margin for each in in_force)
        score = max(score, 1.0) if late else score  # whatever the figures say, it was not enough
        scores = (*self.scores[-(MAX_SCORES - 1) :], score)
        kept = tuple(each for each in self.made if each.minute > first)
        return Coverage(made=kept, scores=scores, share=share_of(scores, quantile))


def share_of(scores: Sequence[float], quantile: float) -> float:
    """The conformal quantile of the scores, within 0 and 1; 1 with too few of them."""
    above = math.floor((1 - quantile) * (len(scores) + 1) + 1e-9)  # so many, and no more, may be higher or equal
    if above < 1:
        return 1.0
    highest: list[float] = []
    for score in scores:
        insort(highest, score)
        if len(highest) > above:
            del highest[0]
    return min(max(highest[0], 0.0), 1.0)
