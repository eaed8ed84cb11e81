"""How far what one replica really holds lies from what the rehearsal says: one factor, slow and bounded.

Only a pool whose replicas are all ready teaches anything:

- a queue that grows at less than the planned load, or targets missed for long without a queue at clearly less: the
  factor sinks to somewhat less than that load (a queue that shrinks is being worked off, and says nothing);
- targets held at more than the rehearsed load: the factor rises to that load;
- else it drifts back to 1, over hours, so that one bad day is not paid for ever.

Latency percentiles scatter around the target just at capacity, hence the margin; they look back over a window, hence
the settling time, while a queue is there now. It never learns from data that are missing or stale: it is not told of
them.
"""

import math
from dataclasses import dataclass, replace

LOWEST, HIGHEST = 0.5, 1.5  # beyond, the model of the engine is wrong and wants calibrating, not correcting
SETTLE_S = 60.0
LEARN_S = 60.0  # time constant towards a measured load
# A growing queue is there now and soon costs a replica, so it is believed sooner and more.
QUEUE_SETTLE_S, QUEUE_LEARN_S = 15.0, 15.0
# And back to 1. A pool at its boundary tries one replica less again after a quarter of an hour or more.
FORGET_S = 4 * 3600.0
MARGIN = 0.9  # misses above this share of capacity are no news
LONGEST_STEP_S = 30.0  # however long nobody looked, one look counts for this much


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Times the rehearsed capacity. `steady_since_s`: None while replicas start; `waiting`: at the last look."""

    factor: float = 1.0
    at_s: float | None = None
    steady_since_s: float | None = None
    waiting: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one look says.

    Args:
        steady: whether all replicas that should be there are ready.
        loads: lowest and highest demand per ready replica of the last `SETTLE_S`, over its rehearsed capacity; None if
            unknown. A load teaches only what it held all the while.
        held: whether every target was held; None if not all were measured.
        waiting: requests that wait beyond what a healthy pool has waiting.
    """

    steady: bool
    loads: tuple[float, float] | None
    held: bool | None
    waiting: float


def correct(before: Correction, measured: Measured, *, now_s: float) -> Correction:
    """Learn from one look."""
    step_s = 0.0 if before.at_s is None else min(now_s - before.at_s, LONGEST_STEP_S)
    since_s = None
    if measured.steady:
        since_s = now_s if before.steady_since_s is None else before.steady_since_s
    after = replace(before, at_s=now_s, steady_since_s=since_s, waiting=measured.waiting)
    if since_s is None or measured.loads is None or measured.held is None:
        return after
    target, within_s = _lesson(before, measured, measured.loads, steady_s=now_s - since_s)
    factor = before.factor + (target - before.factor) * -math.expm1(-step_s / within_s)
    return replace(after, factor=min(max(factor, LOWEST), HIGHEST))


def _lesson(
    before: Correction, measured: Measured, loads: tuple[float, float], *, steady_s: float
) -> tuple[float, float]:
    """Where the factor should go, and the time constant of going there."""
    lowest, highest = loads
    if not measured.held:
        if measured.waiting > before.waiting:
            too_high, within_s = steady_s >= QUEUE_SETTLE_S and highest < before.factor, QUEUE_LEARN_S
        else:
            too_high = steady_s >= SETTLE_S and highest < MARGIN * before.factor and not measured.waiting
            within_s = LEARN_S
        # What was missed must not be planned for again.
        return (MARGIN * highest if too_high else before.factor), within_s
    if lowest > before.factor and steady_s >= SETTLE_S:
        return lowest, LEARN_S
    return 1.0, FORGET_S
