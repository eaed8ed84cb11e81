"""What one replica holds, by formula: where a rehearsal begins to look, and how its answer bends with the mix.

A replica's seconds go into prompts and outputs, and what is left of them, into waiting. The rate is bounded by three
things, softly joined:

- first tokens wait in a queue. In heavy traffic waiting times are exponential with mean rho/(1-rho) s (ca^2+cs^2)/2, s
  being seconds of work per request (Kingman, 1961); the percentile of that must fit into what the target leaves.
- a step that computes a prompt may take longer than the ITL allows; only the share that may be late may be such steps.
- as many sequences decode together as keep the pace, and as fit into the KV cache.

It is within a third of what a rehearsal finds on the mixes tried, and its slope within a few percent, which is what
it is for. It decides nothing by itself.
"""

import math

from penstock.autoscale.arrivals import Mix, lognormal_sigma
from penstock.autoscale.rehearsal import Replica, Targets
from penstock.hardware.steptime import TICKS_PER_S, StepTime, experts_read
from penstock.messages.worker import Role

MOST_SEQUENCES, HALVINGS = 65_536.0, 40  # no engine runs more; to a ten-millionth of one
PACE, FULL = 0.8, 0.9  # of the ITL for decoding alone, prompts come between; of the KV cache, sequences come and go
BUSY = 0.95  # of the time that the most sequences would decode
LEAST_LEFT = 0.25  # of a prompt's own time, where the target leaves less than that to wait in
SHARPNESS = 3.0  # of the joint of the bounds: two equal ones give 0.8 of one


def estimate(replica: Replica, mix: Mix, targets: Targets) -> float:
    """Requests/s that one replica holds within the targets, roughly."""
    bounds = []
    role = replica.config.role
    if role is not Role.DECODE:
        bounds.append(_by_queue(replica, mix, targets))
        if role is Role.WORKER and targets.itl_s is not None:
            bounds.append(_by_long_steps(replica, mix, targets, targets.itl_s))
    if role is not Role.PREFILL:
        bounds.append(_by_pace(replica, mix, targets.itl_s or 1.0))
    return math.pow(sum(bound**-SHARPNESS for bound in bounds), -1 / SHARPNESS)


def saturated(replica: Replica, mix: Mix, targets: Targets) -> float:
    """Requests/s at which a replica is never idle, however long they wait."""
    bounds = []
    if replica.config.role is not Role.DECODE:
        bounds.append(1 / (_prompt_s(replica, mix) + _output_s(replica, mix)))
    if replica.config.role is not Role.PREFILL:
        bounds.append(_by_pace(replica, mix, targets.itl_s or 1.0))
    return min(bounds)


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


def _by_queue(replica: Replica, mix: Mix, targets: Targets) -> float:
    prompt_s = _prompt_s(replica, mix)
    work_s = prompt_s + _output_s(replica, mix)
    left_s = max(targets.ttft_s - prompt_s - replica.step_time.prefill_s(0), LEAST_LEFT * prompt_s)
    # A burst counts for as much as fits into the time that may be waited.
    others = left_s / work_s
    gaps_scv = 1 + (mix.dispersed - 1) * others / (others + mix.dispersed)
    waited_s = work_s * (gaps_scv + _mean_square(mix) - 1) / 2 * math.log(1 / max(targets.late, 1e-9))
    return left_s / (left_s + waited_s) / work_s


def _by_long_steps(replica: Replica, mix: Mix, targets: Targets, itl_s: float) -> float:
    """While somebody decodes, steps with a prompt are to be a small share of all, if they take too long."""
    step = replica.step_time
    prompt_s = _prompt_s(replica, mix)
    computed = max(1.0, mix.isl * (1 - mix.hit_ratio))
    chunk = min(1.0, replica.config.max_num_batched_tokens / computed)
    long_s = chunk * prompt_s + step.prefill_s(0)
    if long_s <= itl_s:
        return math.inf
    odds = targets.late / (1 - targets.late) * long_s / step.decode_step_s(1, round(mix.isl))
    return odds / (1 + odds) / prompt_s


def _by_pace(replica: Replica, mix: Mix, itl_s: float) -> float:
    config, step = replica.config, replica.step_time
    context = mix.isl + mix.osl / 2
    by_kv = FULL * config.kv_blocks * config.block_tokens / context
    at_pace = sequences_at_pace(step, context, PACE * itl_s)
    sequences = max(1.0, min(at_pace, by_kv, config.max_num_seqs))
    return BUSY * sequences / (mix.osl * step.decode_step_s(round(sequences), round(sequences * context)))


def _prompt_s(replica: Replica, mix: Mix) -> float:
    """Seconds to compute a mean prompt in steps full of prompts; attention by the mean square of lengths."""
    step = replica.step_time
    cached = mix.isl * mix.hit_ratio
    computed = max(1.0, mix.isl - cached)
    steps = computed / replica.config.max_num_batched_tokens
    pairs = computed * (cached + computed / 2) * _mean_square(mix)
    full = step.prefill_s(0) + step.experts / TICKS_PER_S
    return steps * full + (computed * step.prefill_token + pairs * step.prefill_attention) / TICKS_PER_S


def _output_s(replica: Replica, mix: Mix) -> float:
    """What a mean output adds to the steps that it takes part in."""
    if replica.config.role is Role.PREFILL:
        return 0.0
    step = replica.step_time
    return mix.osl * (step.sequence + step.context_token * (mix.isl + mix.osl / 2)) / TICKS_PER_S


def _mean_square(mix: Mix) -> float:
    """Of prompt lengths, over the square of their mean: 1 where all are equal."""
    return math.exp(lognormal_sigma(mix.isl, mix.isl_p95) ** 2)
