"""Whether demand climbs steadily, and how fast: a line through the levels of the last minutes.

A line is believed if its slope is significant for arrivals as bursty as they are, and if it fits better than a step
would: after a step demand is expected to stay. It is never carried further ahead than it was seen: of the two spans
that are tried, the longer comes first, since the error of a slope falls with the power 1.5 of its span. A fall is never
extrapolated: a replica that goes too early is missed at once, one that goes too late costs a little.

Source: least squares; the variance of a slope over a Poisson process of rate r for a time T is 12 r / T**3.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

from penstock.autoscale.demand_history import CELL_S

SPANS_S = (150.0, 1200.0)  # shortest and longest look back
SIGNIFICANT = 3.0  # standard deviations: about one false alarm in 700 looks


def trend(levels: Sequence[float], *, horizon_s: float, dispersed: float) -> float:
    """Requests/s by which demand grows each second; 0 if it does not, or not clearly.

    Args:
        levels: at every `CELL_S`, the newest last.
        dispersed: variance of arrivals over that of Poisson's.
    """
    for times in (2.0, 1.0):
        cells = round(min(max(times * horizon_s, SPANS_S[0]), SPANS_S[1]) / CELL_S)
        if len(levels) >= cells:
            slope = _line(levels[-cells:], dispersed)
            if slope > 0:
                return slope
    return 0.0


def _line(levels: Sequence[float], dispersed: float) -> float:
    count = len(levels)
    middle, mean = (count - 1) / 2, sum(levels) / count
    spread = count * (count * count - 1) / 12
    slope = sum((place - middle) * level for place, level in enumerate(levels)) / spread
    error = math.sqrt(12 * dispersed * mean / (count * CELL_S) ** 3)
    if slope <= 0 or slope / CELL_S <= SIGNIFICANT * error:
        return 0.0
    explained = slope * slope * spread
    before = list(accumulate(level - mean for level in levels))  # of a step after each place; its end is 0
    step = max(total * total * count / ((place + 1) * (count - place - 1)) for place, total in enumerate(before[:-1]))
    return slope / CELL_S if explained > step else 0.0
