"""Demand one lead time ahead: what a replica asked for now will meet once it serves.

    upper = level + max(trend * horizon, spread, noise)

- level: the mean of the last 30 s, or of a shorter, recent window that lies above it by more than the noise over that
  window can explain: so a step counts at once, and a burst among many does not.
- trend: the slope over four equal windows that each rise significantly above the one before; else 0. A step lifts at
  most two of them above their predecessors, so it is no trend. A fall is never extrapolated: a replica that goes too
  early is missed at once, one that goes too late costs a little.
- spread: the stated quantile of how far demand rose within the horizon in the hours before (`rises`). A ramp that lasts
  is in there already, hence the maximum and not the sum.
- noise: how wrong the level itself may be at that quantile, if arrivals are Poisson.

It does not know the time of day: where days are known, the spread that it is given does (`season`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

from penstock.autoscale.demand_history import LEVEL_S, Point, mean

RECENT_S = 10.0  # the longer of the two recent windows; the shorter is the newest sample's own
SIGNIFICANT = 3.0  # standard deviations: about one false alarm in 700 looks
TREND_S = (60.0, 600.0)  # shortest and longest look back for a trend
TREND_WINDOWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Requests per second. `level` now, `upper` covers what comes within the horizon with the stated probability.

    `error` is the standard error of the level, if arrivals are Poisson; `noise` that error at the stated quantile.
    """

    level: float
    error: float
    trend_per_s: float
    spread: float
    noise: float
    upper: float
    horizon_s: float


def forecast(
    history: Sequence[Point], level: float, spread: float, *, now_s: float, horizon_s: float, quantile: float
) -> Forecast:
    """Look ahead.

    Args:
        history: in order of time.
        level: demand now. spread: what it may rise by within the horizon.
        quantile: probability with which `upper` covers the demand within `horizon_s`.
    """
    trend = _trend(history, now_s, min(max(2 * horizon_s, TREND_S[0]), TREND_S[1]))
    error = math.sqrt(level / LEVEL_S)
    noise = NormalDist().inv_cdf(quantile) * error
    return Forecast(
        level=level,
        error=error,
        trend_per_s=trend,
        spread=spread,
        noise=noise,
        upper=level + max(trend * horizon_s, spread, noise),
        horizon_s=horizon_s,
    )


def level_now(history: Sequence[Point], latest: float, *, latest_s: float, now_s: float, dispersed: float) -> float:
    """Demand now, in requests/s.

    Args:
        latest: the newest sample, itself a mean over `latest_s`.
        dispersed: variance of arrivals over that of Poisson's: what is a burst in even traffic is nothing in bursty.
    """
    level = long = mean(history, now_s - LEVEL_S, now_s, latest)
    variance = max(long, 1 / LEVEL_S)  # a window without any request says only that there were fewer than one in it
    for recent, over_s in ((latest, latest_s), (mean(history, now_s - RECENT_S, now_s, latest), RECENT_S)):
        if recent > long + SIGNIFICANT * math.sqrt(dispersed * variance / over_s):
            level = max(level, recent)
    return level


def _trend(history: Sequence[Point], now_s: float, look_back_s: float) -> float:
    if not history or history[0].at_s > now_s - 0.8 * look_back_s:
        return 0.0
    window_s = look_back_s / TREND_WINDOWS
    starts_s = [now_s - (TREND_WINDOWS - i) * window_s for i in range(TREND_WINDOWS)]
    means = [mean(history, start_s, start_s + window_s, math.nan) for start_s in starts_s]
    rises = []
    for before, after in pairwise(means):
        noise = math.sqrt(max(before + after, 1 / window_s) / window_s)
        if not after - before >= noise:  # so a window without data is no rise
            return 0.0
        rises.append(after - before)
    return min(rises) / window_s
