"""How many requests per second one replica holds under its targets: a search over rehearsals, remembered by mix.

The answer is a function of its arguments alone: it does not depend on what was asked before, so two runs that see the
same, decide the same. The search starts from a rough estimate, brackets the answer and halves the bracket.

Some targets cannot be held at any rate (one long prompt alone takes longer), and near those the rate falls off a
cliff. So targets that no rate holds are doubled until one does, and a rate that leaves the engine nearly idle is
weighed against half of that at twice the target, and so on; the best counts, and the answer says which targets it
holds. Hence a target is held at twice the replicas at most, and a pool that misses its targets still keeps its queue
from growing.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from penstock.autoscale.arrivals import Mix
from penstock.autoscale.rehearsal import Replica, Targets, holds
from penstock.hardware.steptime import TICKS_PER_S, StepTime, experts_read
from penstock.messages.worker import Role

BRACKET = 1.5
RESOLUTION = 1.04  # finer than what the mix's own grid leaves open
LOWEST, HIGHEST = 1 / 40, 40  # of the estimate; a replica that fails at the lowest rate fails alone
DOUBLINGS = 6
MOST_SEQUENCES, HALVINGS = 65_536.0, 40  # no engine runs more; to a ten-millionth of one
WORTHWHILE = 0.25  # of the estimate: a rate below is that of an engine kept nearly idle
WORTH = 0.5  # of the rate at twice the target: to hold a target may cost twice the replicas, and no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """`rate` in requests/s, and the targets that it holds: those asked for, or `relaxed` times them."""

    rate: float
    targets: Targets
    relaxed: float = 1.0


@lru_cache(maxsize=512)
def capacity(replica: Replica, mix: Mix, targets: Targets) -> Capacity:
    """The highest rate at which one replica holds the targets, rehearsed."""
    best = Capacity(rate=0.0, targets=targets)
    relaxed, worth = 1.0, 1.0
    for _ in range(DOUBLINGS):
        loosened = _loosened(targets, relaxed)
        rate = _highest(replica, mix, loosened) or 0.0
        if worth * rate > best.rate:
            best = Capacity(rate=worth * rate, targets=loosened, relaxed=relaxed)
        if rate >= WORTHWHILE * _estimate(replica, mix, loosened):
            return best
        relaxed, worth = 2 * relaxed, worth * (WORTH if rate else 1.0)  # what nothing holds is given up for nothing
    return (
        best
        if best.rate
        else Capacity(rate=LOWEST * _estimate(replica, mix, loosened), targets=loosened, relaxed=relaxed)
    )


def sequences_at_pace(step: StepTime, context_tokens: float, pace_s: float) -> float:
    """How many sequences of this context one replica decodes together if each step may take `pace_s`; prompts apart."""
    base_s = step.decode_step_s(0, 0)
    per_sequence_s = (step.sequence + step.context_token * round(context_tokens)) / TICKS_PER_S
    linear = (pace_s - base_s) / per_sequence_s if per_sequence_s else math.inf
    if not step.experts or linear <= 0:
        return linear
    # Experts take longer the more sequences touch them, ever less so: between nobody and as many as if they took none.
    low, high = 0.0, min(linear, MOST_SEQUENCES)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        experts_s = step.experts * experts_read(middle, step.expert_share) / TICKS_PER_S
        low, high = (middle, high) if base_s + per_sequence_s * middle + experts_s <= pace_s else (low, middle)
    return low


def _highest(replica: Replica, mix: Mix, targets: Targets) -> float | None:
    """Bracket and halve, on a logarithmic scale; None if even the lowest rate fails."""
    estimate = _estimate(replica, mix, targets)
    low = high = estimate
    if holds(replica, mix, targets, estimate):
        while holds(replica, mix, targets, high := high * BRACKET):
            low = high
            if high > HIGHEST * estimate:
                return low
    else:
        while not holds(replica, mix, targets, low := low / BRACKET):
            high = low
            if low < LOWEST * estimate:
                return None
    while high / low > RESOLUTION:
        middle = (low * high) ** 0.5
        if holds(replica, mix, targets, middle):
            low = middle
        else:
            high = middle
    return low


def _estimate(replica: Replica, mix: Mix, targets: Targets) -> float:
    """A rate in the right region: bounded by computing prompts, by decoding at the target's pace, and by KV."""
    config, step = replica.config, replica.step_time
    bounds = []
    if config.role is not Role.DECODE:
        bounds.append(0.7 / step.prefill_s(max(1, int(mix.isl * (1 - mix.hit_ratio))), int(mix.isl * mix.hit_ratio)))
    if config.role is not Role.PREFILL:
        context = mix.isl + mix.osl / 2
        pace_s = 0.8 * (targets.itl_s or 1.0)
        by_pace = sequences_at_pace(step, context, pace_s)
        by_kv = 0.9 * config.kv_blocks * config.block_tokens / context
        sequences = max(1.0, min(by_pace, by_kv, config.max_num_seqs))
        step_s = step.decode_step_s(round(sequences), round(sequences * context))
        bounds.append(0.8 * sequences / (mix.osl * step_s))
    return min(bounds)


def _loosened(targets: Targets, factor: float) -> Targets:
    if factor == 1.0:
        return targets
    itl_s = None if targets.itl_s is None else targets.itl_s * factor
    return replace(targets, ttft_s=targets.ttft_s * factor, itl_s=itl_s)
