"""What a margin over expected demand is worth: shares of misses from what came before, and one price for all.

Of pairs (margin, share of minutes that rose beyond it) only the lower convex hull matters: between its corners none
ever pays. With a price on a miss each situation has its own best corner, and more is spent where it is cheap; the price
at which a budget is just kept is found by halving (Everett, 1963). It knows neither time nor season.
"""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

HALVINGS = 24
PLAYS = 8  # halvings that play all minutes: to 3 % of the price
CHEAPEST = 1e-3  # of the price without it


@dataclass(frozen=True, slots=True)
class Odds:
    """Margins worth having, rising, and the share of minutes that each leaves uncovered, falling and convex.

    `worth`: misses saved per margin, of the step to each margin after the first; falling.
    """

    margins: tuple[float, ...]
    left: tuple[float, ...]
    worth: tuple[float, ...]

    def place(self, dear: float) -> int:
        """Where it pays to stop, if a margin of 1 costs as much as `dear` misses."""
        return bisect_left(self.worth, -dear)


NO_RISE = Odds((1.0,), (0.0,), ())  # who stands higher than ever is not expected to rise as others did


def odds_of(ratios: list[float]) -> Odds:
    """The lower convex hull of (margin, share left uncovered): between its corners no margin ever pays."""
    ratios.sort()
    count = len(ratios)
    if not count:
        return Odds((1.0,), (0.0,), ())
    hull: list[tuple[float, float]] = [(min(1.0, ratios[-1]), sum(ratio > 1.0 for ratio in ratios) / count)]
    for place in range(bisect_left(ratios, 1.0), count):
        if ratios[place] <= hull[0][0] or (place + 1 < count and ratios[place + 1] == ratios[place]):
            continue  # of equals the last says what is left beyond them
        point = (ratios[place], (count - 1 - place) / count)
        while len(hull) >= 2 and _slope(hull[-2], hull[-1]) >= _slope(hull[-2], point):
            hull.pop()
        hull.append(point)
    return Odds(
        margins=tuple(margin for margin, _ in hull),
        left=tuple(left for _, left in hull),
        worth=tuple(_slope(before, after) for before, after in pairwise(hull)),
    )


def _slope(before: tuple[float, float], after: tuple[float, float]) -> float:
    return (after[1] - before[1]) / (after[0] - before[0])


def price_for(met: Sequence[tuple[Odds, float]], budget: float) -> float:
    """The least at which no more than the budget is missed."""
    top = max((expected for _, expected in met), default=1.0)
    low, high = math.log(top * 1e-3), math.log(top * 1e6)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        price = math.exp(middle)
        missed = sum(odds.left[odds.place(expected / price)] for odds, expected in met)
        low, high = (middle, high) if missed > budget * len(met) else (low, middle)
    return math.exp(high)


def price_held(played: Sequence[tuple[Odds, float, float]], *, held: int, budget: float, highest: float) -> float:
    """The least price at which the budget is kept if each minute has the most of what the last few asked for.

    Args:
        played: odds, what was expected, and what came, minute by minute. held: minutes that count.
        highest: a price at which it is kept without that.
    """

    def missed(price: float) -> int:
        asked: deque[tuple[int, float]] = deque()  # falling; the first is the highest that still counts
        found = 0
        for place, (odds, expected, came) in enumerate(played):
            ready = expected * odds.margins[odds.place(expected / price)]
            while asked and asked[-1][1] <= ready:
                asked.pop()
            asked.append((place, ready))
            if asked[0][0] <= place - held:
                asked.popleft()
            found += came > asked[0][1]
        return found

    low, high = math.log(highest * CHEAPEST), math.log(highest)
    for _ in range(PLAYS):
        middle = (low + high) / 2
        low, high = (middle, high) if missed(math.exp(middle)) > budget * len(played) else (low, middle)
    return math.exp(high)


def cost_at(met: Sequence[tuple[Odds, float]], price: float) -> float:
    return sum(expected * odds.margins[odds.place(expected / price)] for odds, expected in met) / max(1, len(met))
