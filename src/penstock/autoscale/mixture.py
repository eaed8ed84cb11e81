"""The mix of requests that a pool is planned for: measured means, smoothed, then set on a coarse grid.

A rehearsal costs a fraction of a second, so mixes that hardly differ share one. A figure keeps its place on the grid
until it has moved by a whole step: else one that sits between two places would change the plan at every look. Of the
hit ratio it is the misses that have a grid: they are what a prompt costs, and 0.96 is not nearly 1 but twice 0.98.
"""

import math

from penstock.autoscale.arrivals import WIDEST_P95_OVER_MEAN, Mix

SMOOTH_S, SMOOTH_REQUESTS = 60.0, 300.0  # a mean over fewer requests says more about chance than about users
LONGEST_SMOOTH_S = 1800.0
LENGTH_STEP = 2 ** (1 / 6)  # 12 %: about as many percent of capacity
WIDTH_STEP = 2 ** (1 / 3)  # of p95 over mean
BURST_STEP = 1.5  # of the dispersion: about 10 % of capacity
SMOOTHEST = 0.25  # of one among four: a deal by expected work is not in turn, so as many are never under Poisson's
FEWEST_MISSES = 0.01  # of the prompt tokens: some are always computed, whatever a short window says


def blend(before: Mix, now: Mix, step_s: float, *, rate: float) -> Mix:
    """Move from one mix towards another, as far as `step_s` seconds of smoothing go at a rate in requests/s."""
    smooth_s = min(max(SMOOTH_S, SMOOTH_REQUESTS / rate if rate else LONGEST_SMOOTH_S), LONGEST_SMOOTH_S)
    share = -math.expm1(-max(step_s, 0.0) / smooth_s)
    return Mix(
        isl=before.isl + (now.isl - before.isl) * share,
        isl_p95=before.isl_p95 + (now.isl_p95 - before.isl_p95) * share,
        osl=before.osl + (now.osl - before.osl) * share,
        osl_p95=before.osl_p95 + (now.osl_p95 - before.osl_p95) * share,
        hit_ratio=before.hit_ratio + (now.hit_ratio - before.hit_ratio) * share,
    )


def settle(before: Mix | None, mix: Mix) -> Mix:
    """The mix on the grid; each figure stays where it was unless it has moved by a whole step."""
    isl = _snap(before.isl if before else None, mix.isl, LENGTH_STEP)
    osl = _snap(before.osl if before else None, mix.osl, LENGTH_STEP)
    isl_wide = _snap(before.isl_p95 / before.isl if before else None, mix.isl_p95 / mix.isl, WIDTH_STEP)
    osl_wide = _snap(before.osl_p95 / before.osl if before else None, mix.osl_p95 / mix.osl, WIDTH_STEP)
    misses = _snap(1 - before.hit_ratio if before else None, max(1 - mix.hit_ratio, FEWEST_MISSES), LENGTH_STEP)
    settled = Mix(
        isl=isl,
        isl_p95=isl * min(isl_wide, WIDEST_P95_OVER_MEAN),
        osl=osl,
        osl_p95=osl * min(osl_wide, WIDEST_P95_OVER_MEAN),
        hit_ratio=1 - min(misses, 1.0),
    )
    return settled if before is None or settled != before else before


def settle_burstiness(before: float | None, dispersed: float) -> float:
    """How bursty arrivals are, on the grid; 1 is Poisson's, and less where they are dealt out to several replicas."""
    return _snap(before, max(SMOOTHEST, dispersed), BURST_STEP)


def _snap(before: float | None, value: float, step: float) -> float:
    if before is not None and before > 0 and abs(math.log(value / before)) < math.log(step):
        return before
    return step ** round(math.log(value, step))
