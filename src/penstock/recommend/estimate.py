"""What an option takes, without simulating it: memory, an idle engine, then one replica rehearsed.

Each is a reason to leave it out, in this order, with the figure: the model does not fit, by so many GiB; the longest
request does not fit the KV that is left; one prompt alone takes longer than the TTFT, one token longer than the ITL;
no rate is low enough to hold the targets. What is left is given replicas between those of the busiest minute and those
of the worst burst: a pool evens out bursts that one replica alone does not.
"""

import math
from dataclasses import replace

from penstock.autoscale.planner import PlannerPolicy
from penstock.errors import InputError
from penstock.hardware.derived_engine import derived_engine
from penstock.hardware.steptime import TICKS_PER_S, StepTime
from penstock.messages.engine_spec import EngineSpec, GpuSpec
from penstock.messages.scaling_spec import PlannerScaling
from penstock.messages.spec import ModelSpec
from penstock.recommend.demand import Demand
from penstock.recommend.option import MODES, ROLES, Cut, Option, deployment
from penstock.recommend.options import unmeasured_vendor
from penstock.recommend.question import Question

_SCALING = PlannerScaling(by="planner", min=1, max=1)


def estimate(question: Question, demand: Demand, cut: Cut) -> tuple[Option, ...]:
    """The options of one cut, each mode with its estimate or the reason against it."""
    plain = tuple(Option(cut=cut, mode=mode) for mode in MODES)
    try:
        why = unmeasured_vendor(question, cut)
        engine = derived_engine(
            question.engine, GpuSpec(vm_size=cut.sizes[0].name, count=cut.gpus), question.shape, question.profile
        )
    except InputError as error:
        short = error.what.partition(" does not fit")
        why = f"does not fit{short[2]}" if short[1] else error.what
    why = why or _idle(engine, question, demand)
    if why is not None:
        return tuple(replace(option, why_not=why) for option in plain)
    return tuple(_rehearsed(question, demand, replace(option, engine=engine)) for option in plain)


def _idle(engine: EngineSpec, question: Question, demand: Demand) -> str | None:
    """What even an engine with nothing else to do cannot."""
    tokens = engine.kv_blocks * engine.block_tokens
    if demand.longest > tokens:
        return f"the longest request has {demand.longest:,} tokens, and KV for {tokens:,} is left"
    step, slo = StepTime.from_spec(engine.step_time), question.slo
    alone_s = prompt_alone_s(step, demand.prompt_tokens, engine.max_num_batched_tokens)
    if demand.mix.hit_ratio == 0 and alone_s > slo.ttft_s:
        return (
            f"TTFT: a prompt of {demand.prompt_tokens:,} tokens (p{slo.percentile:g}) takes {alone_s:.2f} s alone, "
            f"target {slo.ttft_s:g} s"
        )
    token_s = step.decode_step_s(1, round(demand.mix.isl + demand.mix.osl / 2))
    if token_s > slo.itl_s:
        return f"ITL: a token takes {token_s * 1e3:.1f} ms alone, target {slo.itl_s * 1e3:g} ms"
    return None


def prompt_alone_s(step: StepTime, tokens: int, budget: int) -> float:
    """Seconds of a prompt on an idle engine, in chunks of the token budget."""
    ticks = 0
    for done in range(0, tokens, budget):
        new = min(budget, tokens - done)
        ticks += round(step.prefill_s(new, done) * TICKS_PER_S)
    return ticks / TICKS_PER_S


def _rehearsed(question: Question, demand: Demand, option: Option) -> Option:
    """With the rate that one replica of each role holds, and the replicas that the workload then takes."""
    spec = deployment(ModelSpec(name=question.model), question.slo, option, [1] * len(ROLES[option.mode]))
    rates = []
    for pool in spec.pools:
        held = PlannerPolicy.of(spec, pool, _SCALING).capacity(demand.mix)
        if held.relaxed > 1:
            what = "TTFT" if pool.role == "prefill" else "ITL" if pool.role == "decode" else "TTFT and ITL"
            why = f"{what}: a {pool.role} engine holds the targets at no rate worth having (rehearsed)"
            return replace(option, why_not=why)
        rates.append(held.rate)
    peak, burst = demand.stats.peak_minute_per_s, demand.burst_per_s(question.slo.ttft_s)
    fewest = tuple(max(1, math.ceil(peak / rate)) for rate in rates)
    counts = tuple(
        max(few, math.ceil(math.sqrt(peak * max(burst, peak)) / rate)) for few, rate in zip(fewest, rates, strict=True)
    )
    return replace(option, per_replica=tuple(rates), fewest=fewest, counts=counts)
