"""PromQL's instant selector, `increase` and `rate`, to the letter, over scraped samples.

What an autoscaler sees through Prometheus is not what happened: a sample is as old as its scrape, a counter's growth is
stretched to the ends of the window, growth before a series' first sample is lost, and fewer than two samples in the
window give no rate at all. These functions make just those errors.

A series is its instants in whole milliseconds, as Prometheus keeps them, strictly ascending, and a value at each; None
is the stale marker that Prometheus writes where a series ends. A range is open on the left: (at - window, at]. None as
an answer is no element in PromQL's vector; NaN is its NaN, and comes only of samples that are not finite.

On x86-64 results are Prometheus' to the last bit, so the order of sums and products matters: where a quantile's rank
falls on the edge of empty buckets, the last bit decides between their two ends.

Not here: native histograms, `offset`, start timestamps, experimental range modifiers.

Source: Prometheus 3.13, promql/functions.go (extrapolatedRate) and promql/engine.go.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import lt
from typing import TypeVar

V = TypeVar("V")

LOOKBACK_MS = 300_000  # `--query.lookback-delta`: an instant selector takes no older sample
# A gap at an end of the window of under 1.1 mean intervals counts as covered by the series (`extrapolationThreshold`).
COVERED_INTERVALS = 1.1


def instant(
    times_ms: Sequence[int], values: Sequence[float | None], *, at_ms: int, lookback_ms: int = LOOKBACK_MS
) -> float | None:
    """The value of a series at an instant: its newest sample, unless that is too old or a stale marker."""
    place = bisect_right(times_ms, at_ms) - 1
    if place < 0 or times_ms[place] <= at_ms - lookback_ms:
        return None
    return values[place]


def increase(times_ms: Sequence[int], values: Sequence[float | None], *, at_ms: int, window_ms: int) -> float | None:
    """`increase(counter[window])`. None: fewer than two samples in the window."""
    return _extrapolated(times_ms, values, at_ms, window_ms, 1.0)


def rate(times_ms: Sequence[int], values: Sequence[float | None], *, at_ms: int, window_ms: int) -> float | None:
    """`rate(counter[window])`, per second. None: fewer than two samples in the window."""
    return _extrapolated(times_ms, values, at_ms, window_ms, window_ms / 1000)


def bucket_rates(
    histograms: Iterable[tuple[Sequence[int], Sequence[Sequence[float] | None]]], *, at_ms: int, window_ms: int
) -> list[float] | None:
    """`sum by (le) (rate(histogram_bucket[window]))`, for `histogram_quantile`.

    The buckets of one histogram come from one scrape, so their instants are found once; it is else the same as `rate`
    of each bucket.

    Args:
        histograms: of each process, the instants of its scrapes and the cumulative counts of all buckets at each; all
            with the same edges.
    Returns: a rate for each edge. None: no process has two scrapes in the window.
    """
    rates: list[list[float]] = []
    for times_ms, rows in histograms:
        inside = _inside(times_ms, rows, at_ms, window_ms)
        if len(inside) < 2:
            continue
        coverage = _coverage([time_ms for time_ms, _ in inside], at_ms, window_ms)
        counts = [row for _, row in inside]
        if not any(any(map(lt, after, before)) for before, after in pairwise(counts)):
            counts = [counts[0], counts[-1]]  # no reset: what lies between makes no difference
        columns = zip(*counts, strict=True)
        rates.append([coverage.stretched(column, window_ms / 1000) for column in columns])
    return [_compensated_sum(column) for column in zip(*rates, strict=True)] if rates else None


def _extrapolated(
    times_ms: Sequence[int], values: Sequence[float | None], at_ms: int, window_ms: int, per: float
) -> float | None:
    inside = _inside(times_ms, values, at_ms, window_ms)
    if len(inside) < 2:
        return None
    return _coverage([time_ms for time_ms, _ in inside], at_ms, window_ms).stretched(
        [value for _, value in inside], per
    )


@dataclass(frozen=True, slots=True)
class _Coverage:
    """The span between the first and last sample of a window, and how far each of its ends may be stretched."""

    sampled_s: float
    before_s: float
    after_s: float

    def stretched(self, counts: Sequence[float], per: float) -> float:
        """What a counter grew by in the window, over `per`; not stretched further back than to where it was 0."""
        grown = counts[-1] - counts[0]
        for before, after in pairwise(counts):
            if after < before:  # a reset: what it had before is added
                grown += before
        before_s = self.before_s
        if grown > 0 and counts[0] >= 0:
            before_s = min(before_s, self.sampled_s * (counts[0] / grown))
        return grown * ((self.sampled_s + before_s + self.after_s) / self.sampled_s / per)


def _coverage(inside_ms: Sequence[int], at_ms: int, window_ms: int) -> _Coverage:
    first_ms, last_ms = inside_ms[0], inside_ms[-1]
    sampled_s = (last_ms - first_ms) / 1000
    interval_s = sampled_s / (len(inside_ms) - 1)
    before_s = (first_ms - (at_ms - window_ms)) / 1000
    after_s = (at_ms - last_ms) / 1000
    if before_s >= interval_s * COVERED_INTERVALS:  # the series began within the window, half an interval earlier
        before_s = interval_s / 2
    if after_s >= interval_s * COVERED_INTERVALS:
        after_s = interval_s / 2
    return _Coverage(sampled_s, before_s, after_s)


def _inside(times_ms: Sequence[int], values: Sequence[V | None], at_ms: int, window_ms: int) -> list[tuple[int, V]]:
    """The samples of a range; stale markers are none."""
    begin, end = bisect_right(times_ms, at_ms - window_ms), bisect_right(times_ms, at_ms)
    pairs = zip(times_ms[begin:end], values[begin:end], strict=True)
    return [(time_ms, value) for time_ms, value in pairs if value is not None]


def _compensated_sum(values: Sequence[float]) -> float:
    """`sum`, rounded as Prometheus rounds it (Kahan and Neumaier)."""
    total, lost = values[0], 0.0
    for value in values[1:]:
        added = total + value
        lost += (total - added) + value if abs(total) >= abs(value) else (value - added) + total
        total = added
    return total + lost
