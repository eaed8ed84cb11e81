"""How far demand rises within a lead time, learnt from the hours before.

From every instant of the past: the highest level within the horizon, less the level at that instant. Of these rises a
quantile is taken, over instants whose level was like today's where there are enough: who stands at the top of a
pattern that repeats does not expect to climb it again.

Chance alone lifts the highest of several means above the one before. What it lifts at that quantile, were arrivals as
bursty as they are but of a constant rate, is taken off in quadrature: the rehearsed capacity holds its targets under
such arrivals already, and chance would be paid for twice.

What was not seen of the last half hour counts as calm: else the first burst of a run would be taken for the rule.
"""

import math
from collections import deque
from collections.abc import Sequence
from statistics import NormalDist

from penstock.autoscale.demand_history import CELL_S, LEVEL_S, Past

ALIKE = 0.25  # of the logarithm: levels within 28 % of each other
FEWEST_ALIKE = 20  # cells, or five minutes; with fewer, all of the past counts
CALM_CELLS = 120  # half an hour, of which those that were not seen count as calm
ROUNDING = 1e-9
SUREST = 0.9999  # what was never exceeded may yet be
NEARLY_NONE = 0.05  # requests/s, below which levels are all alike


def rise(past: Past, level: float, *, horizon_s: float, quantile: float, dispersed: float) -> float:
    """Requests/s by which demand may rise within the horizon, at a quantile; 0 or more.

    Args:
        dispersed: variance of arrivals over that of Poisson's.
    """
    ahead = max(1, math.ceil(horizon_s / CELL_S))
    levels = past.levels
    if len(levels) <= ahead:
        return 0.0
    rises = [(before, peak - before) for before, peak in zip(levels, _peaks_ahead(levels, ahead), strict=False)]
    least, most = (level + NEARLY_NONE) * math.exp(-ALIKE), (level + NEARLY_NONE) * math.exp(ALIKE)
    alike = [up for before, up in rises if least < before + NEARLY_NONE < most]
    if len(alike) < FEWEST_ALIKE:
        alike = [up for _, up in rises]
    alike.sort()
    larger = math.floor((1 - quantile) * max(len(alike), CALM_CELLS) + ROUNDING)  # so many may lie above the quantile
    found = alike[-1 - larger] if larger < len(alike) else 0.0
    chance = _chance(level, horizon_s, quantile) * math.sqrt(dispersed)
    return math.sqrt(found * found - chance * chance) if found > chance else 0.0


def beyond_chance(rise: float, level: float, *, over_s: float, quantile: float, dispersed: float) -> float:
    """A rise from one mean to another less what chance alone would have it be at that quantile; 0 or more."""
    if rise <= 0:
        return 0.0
    chance = NormalDist().inv_cdf(min(max(quantile, 0.5), SUREST)) * math.sqrt(
        2 * dispersed * max(level, 1 / over_s) / over_s
    )
    return math.sqrt(rise * rise - chance * chance) if rise > chance else 0.0


def _chance(level: float, horizon_s: float, quantile: float) -> float:
    """What chance lifts the highest mean within the horizon above the mean before it."""
    means = max(1.0, horizon_s / LEVEL_S)
    return NormalDist().inv_cdf(quantile ** (1 / means)) * math.sqrt(2 * max(level, 1 / LEVEL_S) / LEVEL_S)


def _peaks_ahead(values: Sequence[float], ahead: int) -> list[float]:
    """For each place that has `ahead` values after it, their maximum."""
    window: deque[int] = deque()
    peaks = []
    for place, value in enumerate(values):
        while window and values[window[-1]] <= value:
            window.pop()
        window.append(place)
        if window[0] <= place - ahead:
            window.popleft()
        if place >= ahead:
            peaks.append(values[window[0]])
    return peaks
