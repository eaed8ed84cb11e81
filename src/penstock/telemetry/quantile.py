"""PromQL's `histogram_quantile` for classic histograms, to the letter, so that our figures match a Grafana panel's.

It knows cumulative bucket counts and nothing of time: the caller hands it the increase over a window. Within a bucket
observations are taken as evenly spread, so the answer is an interpolation; at the SLO targets our histograms have an
edge, and there it is exact. Where PromQL answers NaN (no observations, no +Inf bucket) this answers None: no data is
not zero. So it is for a total that is no finite number, of which PromQL makes an edge.

Source: Prometheus, promql/quantile.go (bucketQuantile, coalesceBuckets, ensureMonotonicAndIgnoreSmallDeltas).
"""

import math
from collections.abc import Mapping
from operator import sub
from typing import Final

# Share of the sum of two counts below which their difference is float noise: `smallDeltaTolerance` of Prometheus.
_SMALL_DELTA: Final = 1e-12


def histogram_quantile(quantile: float, buckets: Mapping[float, float]) -> float | None:
    """Estimate a quantile.

    Args:
        quantile: 0 to 1; below 0 is -inf, above 1 is +inf, as in PromQL.
        buckets: upper bound (`le`, with +inf among them) to cumulative count.
    Returns: None where PromQL says NaN.
    """
    bounds = sorted(buckets)
    if math.isnan(quantile) or not bounds:
        return None
    if quantile < 0:
        return -math.inf
    if quantile > 1:
        return math.inf
    if bounds[-1] != math.inf or len(bounds) < 2:
        return None
    counts = _monotonic([buckets[bound] for bound in bounds])
    total = counts[-1]
    if not 0 < total < math.inf:  # also catches NaN
        return None
    rank = quantile * total
    index = next(index for index, count in enumerate(counts) if count >= rank)
    if index == len(bounds) - 1:
        return bounds[-2]  # the largest finite bound is all that is known
    upper = bounds[index]
    if index == 0 and upper <= 0:
        return upper
    lower = 0.0 if index == 0 else bounds[index - 1]
    below = 0.0 if index == 0 else counts[index - 1]
    inside = counts[index] - below
    if inside <= 0:  # rank 0 in an empty first bucket; PromQL divides 0 by 0 there
        return None
    return lower + (upper - lower) * ((rank - below) / inside)


def share_within(bound: float, buckets: Mapping[float, float]) -> float | None:
    """The share of observations at or below an edge of the histogram. None: no data, or no such edge."""
    total = buckets.get(math.inf, 0.0)
    edge = next((edge for edge in buckets if math.isclose(edge, bound, rel_tol=1e-9)), None)
    return None if edge is None or not total > 0 else min(1.0, buckets[edge] / total)


def _monotonic(counts: list[float]) -> list[float]:
    """Cumulative counts that never fall. A scrape of a live process may be torn."""
    least = 2 * _SMALL_DELTA * counts[-1]
    if not [step for step in map(sub, counts[1:], counts) if step and not step >= least]:
        return counts  # as they nearly always are: where they grow, by more than the largest tolerance
    fixed: list[float] = []
    for count in counts:
        if fixed and count - fixed[-1] < _SMALL_DELTA * (abs(count) + abs(fixed[-1])):
            count = fixed[-1]
        fixed.append(count)
    return fixed
