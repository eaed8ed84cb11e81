"""Demand as it was seen: fine for the last minutes, and coarse for the hours before. Bounded, instants only.

Samples are kept on a grid of `BUCKET_S`, so the loop's period does not matter. `Past` keeps the level (the mean of
`LEVEL_S`) at every `CELL_S` for hours: what rises are learnt from. Both grow by one entry at a time.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

BUCKET_S = 5.0  # finer than any start-up that is worth planning for
MAX_POINTS = 720  # an hour of buckets
LEVEL_S = 30.0  # noise of the mean at 10 requests/s: 6 %
FEWEST_BUCKETS = 24  # two minutes, before which nothing is known of how bursty arrivals are
CELL_S = 15.0  # levels overlap by half, so no peak falls between two
MAX_CELLS = 1440  # six hours: bursts that come once an hour are known


@dataclass(frozen=True, slots=True)
class Point:
    """Mean demand over one bucket, from `samples` samples, the last at `at_s`."""

    at_s: float
    rate: float
    samples: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Levels at every `CELL_S`, in requests/s; the last at cell number `last`."""

    levels: tuple[float, ...] = ()
    last: int = -1


def remember(history: Sequence[Point], at_s: float, rate: float) -> tuple[Point, ...]:
    """The history with one more sample; samples of one bucket are averaged, the oldest buckets are forgotten."""
    if history and at_s <= history[-1].at_s:
        return tuple(history)  # the same sample seen twice, or an older one
    if history and _bucket(history[-1].at_s) == _bucket(at_s):
        last = history[-1]
        mean = (last.rate * last.samples + rate) / (last.samples + 1)
        return (*history[:-1], Point(at_s, mean, last.samples + 1))
    return (*history[-(MAX_POINTS - 1) :], Point(at_s, rate))


def lengthen(past: Past, history: Sequence[Point]) -> Past:
    """The past with the cells that the newest sample has completed. A gap takes the level at its end."""
    if not history:
        return past
    newest = history[-1]
    cell = math.floor(newest.at_s / CELL_S + 1e-9)
    if past.last >= cell:
        return past
    level = mean(history, newest.at_s - LEVEL_S, newest.at_s, newest.rate)
    new = 1 if past.last < 0 else min(cell - past.last, MAX_CELLS)
    return Past(levels=(*past.levels, *[level] * new)[-MAX_CELLS:], last=cell)


def extremes(history: Sequence[Point], *, since_s: float) -> tuple[float, float] | None:
    """The lowest and the highest demand since an instant; None if nothing was seen since."""
    rates = [point.rate for point in history[bisect_right(history, since_s, key=_instant) :]]
    return (min(rates), max(rates)) if rates else None


def dispersion(history: Sequence[Point]) -> float:
    """How much more neighbouring buckets differ than Poisson arrivals would, as a ratio of variances; at least 1."""
    rates = [point.rate for point in history]
    if len(rates) < FEWEST_BUCKETS or not any(rates):
        return 1.0
    differ = sum((after - before) ** 2 for before, after in pairwise(rates)) / (2 * (len(rates) - 1))
    return max(1.0, differ * BUCKET_S * len(rates) / sum(rates))


def mean(history: Sequence[Point], after_s: float, until_s: float, empty: float) -> float:
    """The mean of the samples in (after, until]; `empty` if there is none."""
    first = bisect_right(history, after_s, key=_instant)
    last = bisect_right(history, until_s, key=_instant)
    count = sum(point.samples for point in history[first:last])
    if not count:
        return empty
    return sum(point.rate * point.samples for point in history[first:last]) / count


def _instant(point: Point) -> float:
    return point.at_s


def _bucket(at_s: float) -> int:
    return math.floor(at_s / BUCKET_S + 1e-9)
