"""Demand one lead time ahead: what a replica asked for now will meet once it serves.

    upper = level + max(trend * horizon + noise, spread)

- level: the mean of the last 30 s, or of a shorter, recent window that lies above it by more than the noise over that
  window can explain: so a step counts at once, and a burst among many does not.
- trend: the slope of a line through the last minutes, where a line fits (`trend`); else 0.
- spread: the stated quantile of how far demand rose within the horizon in the hours before (`rises`). A ramp that lasts
  is in there already, hence the maximum and not the sum.
- noise: how wrong the level itself may be at that quantile, if arrivals are Poisson.

Of what this lies above the level a share is taken, as far as past forecasts proved too careful (`coverage`).

It does not know the time of day: where days are known, the spread that it is given does (`season`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from penstock.autoscale.demand_history import LEVEL_S, Point, mean

RECENT_S = 10.0  # the longer of the two recent windows; the shorter is the newest sample's own
SIGNIFICANT = 3.0  # standard deviations: about one false alarm in 700 looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Requests per second. `level` now, `upper` covers what comes within the horizon with the stated probability.

    `error` is the standard error of the level, if arrivals are Poisson; `noise` that error at the stated quantile.
    `share` is how much of what lay above the level `upper` still holds.
    """

    level: float
    error: float
    trend_per_s: float
    spread: float
    noise: float
    upper: float
    horizon_s: float
    share: float = 1.0

    def taken(self, share: float) -> "Forecast":
        """With that share of what `upper` lies above the level."""
        return replace(self, upper=self.level + share * (self.upper - self.level), share=share)


def forecast(level: float, trend_per_s: float, spread: float, *, horizon_s: float, quantile: float) -> Forecast:
    """Look ahead.

    Args:
        level: demand now. trend_per_s: what it grows by. spread: what it may rise by within the horizon.
        quantile: probability with which `upper` covers the demand within `horizon_s`.
    """
    error = math.sqrt(level / LEVEL_S)
    noise = NormalDist().inv_cdf(quantile) * error
    return Forecast(
        level=level,
        error=error,
        trend_per_s=trend_per_s,
        spread=spread,
        noise=noise,
        upper=level + max(trend_per_s * horizon_s + noise, spread),
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
