"""Demand one lead time ahead: what a replica asked for now will meet once it serves.

    upper = level + max(trend * horizon, spread, noise)

- level: the mean of the last 30 s, or of a shorter, recent window that lies above it by more than Poisson noise over
  that window can explain: so a burst counts at once, and noise does not.
- trend: the slope over four equal windows that each rise significantly above the one before; else 0. A step lifts at
  most two of them above their predecessors, so it is no trend. A fall is never extrapolated: a replica that goes too
  early is missed at once, one that goes too late costs a little.
- spread: the stated quantile of how far demand rose within the horizon, from every instant of the recent past (ten
  minutes, or four horizons). A ramp that lasts is in there already, hence the maximum and not the sum.
- noise: how wrong the level itself may be at that quantile, if arrivals are Poisson.

Everything grows with every sample, so more demand never forecasts less. It does not know the time of day: shapes that
repeat daily are for a later forecaster.

The history is bounded (`MAX_POINTS`), kept as instants on a grid of `BUCKET_S`, so the loop's period does not matter.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import NormalDist

BUCKET_S = 5.0  # finer than any start-up that is worth planning for
MAX_POINTS = 720  # an hour of buckets
LEVEL_S = 30.0  # noise of the mean at 10 requests/s: 6 %
RECENT_S = 10.0  # the longer of the two recent windows; the shorter is the newest sample's own
SIGNIFICANT = 3.0  # standard deviations: about one false alarm in 700 looks
SPREAD_S = 600.0  # the recent past, or four horizons if those are longer
MAX_CELLS = 240
TREND_S = (60.0, 600.0)  # shortest and longest look back for a trend
TREND_WINDOWS = 4


@dataclass(frozen=True, slots=True)
class Point:
    """Mean demand over one bucket, from `samples` samples, the last at `at_s`."""

    at_s: float
    rate: float
    samples: int = 1


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


def remember(history: Sequence[Point], at_s: float, rate: float) -> tuple[Point, ...]:
    """The history with one more sample; samples of one bucket are averaged, the oldest buckets are forgotten."""
    if history and at_s <= history[-1].at_s:
        return tuple(history)  # the same sample seen twice, or an older one
    if history and _bucket(history[-1].at_s) == _bucket(at_s):
        last = history[-1]
        mean = (last.rate * last.samples + rate) / (last.samples + 1)
        return (*history[:-1], Point(at_s, mean, last.samples + 1))
    return (*history[-(MAX_POINTS - 1) :], Point(at_s, rate))


def forecast(
    history: Sequence[Point], latest: float, *, latest_s: float, now_s: float, horizon_s: float, quantile: float
) -> Forecast:
    """Look ahead.

    Args:
        history: in order of time, `latest` included.
        latest: the newest sample, itself a mean over `latest_s`.
        quantile: probability with which `upper` covers the demand within `horizon_s`.
    """
    level = _level(history, latest, latest_s, now_s)
    trend = _trend(history, now_s, min(max(2 * horizon_s, TREND_S[0]), TREND_S[1]))
    spread = _spread(history, now_s, horizon_s, quantile)
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


def extremes(history: Sequence[Point], *, since_s: float) -> tuple[float, float] | None:
    """The lowest and the highest demand since an instant; None if nothing was seen since."""
    rates = [point.rate for point in history[bisect_right(history, since_s, key=lambda point: point.at_s) :]]
    return (min(rates), max(rates)) if rates else None


def _level(history: Sequence[Point], latest: float, latest_s: float, now_s: float) -> float:
    level = long = _mean(history, now_s - LEVEL_S, now_s, latest)
    variance = max(long, 1 / LEVEL_S)  # a window without any request says only that there were fewer than one in it
    for recent, over_s in ((latest, latest_s), (_mean(history, now_s - RECENT_S, now_s, latest), RECENT_S)):
        if recent > long + SIGNIFICANT * math.sqrt(variance / over_s):
            level = max(level, recent)
    return level


def _trend(history: Sequence[Point], now_s: float, look_back_s: float) -> float:
    if not history or history[0].at_s > now_s - 0.8 * look_back_s:
        return 0.0
    window_s = look_back_s / TREND_WINDOWS
    starts_s = [now_s - (TREND_WINDOWS - i) * window_s for i in range(TREND_WINDOWS)]
    means = [_mean(history, start_s, start_s + window_s, math.nan) for start_s in starts_s]
    rises = []
    for before, after in pairwise(means):
        noise = math.sqrt(max(before + after, 1 / window_s) / window_s)
        if not after - before >= noise:  # so a window without data is no rise
            return 0.0
        rises.append(after - before)
    return min(rises) / window_s


def _spread(history: Sequence[Point], now_s: float, horizon_s: float, quantile: float) -> float:
    """The quantile of rises within a horizon, over every cell of the recent past.

    A past that was not seen counts as calm: else the first burst of a run would be taken for the rule.
    """
    look_back_s = max(SPREAD_S, 4 * horizon_s)
    cell_s = max(BUCKET_S, look_back_s / MAX_CELLS)
    cells = _cells(history, now_s, look_back_s, cell_s)
    ahead = max(1, math.ceil(horizon_s / cell_s))
    if len(cells) <= ahead:
        return 0.0
    wide = max(1, round(LEVEL_S / cell_s))
    sums = [0.0, *accumulate(cells)]
    rises = [peak - max(_run_mean(sums, i, wide), cells[i]) for i, peak in enumerate(_peaks_ahead(cells, ahead))]
    places = math.ceil(look_back_s / cell_s) - ahead
    larger = math.floor((1 - quantile) * places + 1e-9)  # so many may lie above the quantile
    rises.sort()
    return max(0.0, rises[-1 - larger]) if larger < len(rises) else 0.0


def _cells(history: Sequence[Point], now_s: float, look_back_s: float, cell_s: float) -> list[float]:
    """Demand on an even grid that ends now. A cell without a sample takes the next one: it looks back over the gap."""
    first = bisect_right(history, now_s - look_back_s, key=lambda point: point.at_s)
    points = history[first:]
    if not points:
        return []
    count = min(math.ceil((now_s - points[0].at_s) / cell_s) + 1, math.ceil(look_back_s / cell_s))
    totals, weights = [0.0] * count, [0] * count
    for point in points:
        i = count - 1 - int((now_s - point.at_s) / cell_s)
        if i >= 0:
            totals[i] += point.rate * point.samples
            weights[i] += point.samples
    cells = [0.0] * count
    value = points[-1].rate
    for i in range(count - 1, -1, -1):
        if weights[i]:
            value = totals[i] / weights[i]
        cells[i] = value
    return cells


def _run_mean(sums: Sequence[float], last: int, width: int) -> float:
    first = max(0, last + 1 - width)
    return (sums[last + 1] - sums[first]) / (last + 1 - first)


def _peaks_ahead(values: Sequence[float], ahead: int) -> list[float]:
    """For each place that has `ahead` values after it, their maximum."""
    window: deque[int] = deque()
    peaks = []
    for i, value in enumerate(values):
        while window and values[window[-1]] <= value:
            window.pop()
        window.append(i)
        if window[0] <= i - ahead:
            window.popleft()
        if i >= ahead:
            peaks.append(values[window[0]])
    return peaks


def _mean(history: Sequence[Point], after_s: float, until_s: float, empty: float) -> float:
    """The mean of the samples in (after, until]; `empty` if there is none."""
    first = bisect_right(history, after_s, key=lambda point: point.at_s)
    last = bisect_right(history, until_s, key=lambda point: point.at_s)
    count = sum(point.samples for point in history[first:last])
    if not count:
        return empty
    return sum(point.rate * point.samples for point in history[first:last]) / count


def _bucket(at_s: float) -> int:
    return math.floor(at_s / BUCKET_S + 1e-9)
