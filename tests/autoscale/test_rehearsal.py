"""Rehearsal and the search over it: what one replica holds, against what arithmetic says."""

import itertools
import math
from dataclasses import replace
from statistics import fmean, quantiles

import pytest

from penstock.autoscale.arrivals import Mix, arrivals, lognormal_sigma
from penstock.autoscale.capacity import STEP, Capacity, capacity
from penstock.autoscale.estimate import saturated
from penstock.autoscale.mixture import blend, settle
from penstock.autoscale.rehearsal import (
    FEWEST,
    FEWEST_OF_CHUNKS,
    Replica,
    Targets,
    alone_too_late,
    holds,
    late_tokens,
    requests_for,
)
from penstock.engine.config import EngineConfig
from penstock.engine.timeline import Gaps
from penstock.hardware.steptime import StepTime
from penstock.messages.engine_spec import EngineSpec, StepTimeSpec
from penstock.messages.worker import Role

CHAT = Mix(isl=1000, isl_p95=2500, osl=100, osl_p95=250)


def replica(role: Role = Role.WORKER, *, pin_s: float = 0.0, **engine: object) -> Replica:
    spec = EngineSpec.model_validate(engine)
    return Replica(
        config=EngineConfig.from_spec(spec, role),
        step_time=StepTime.from_spec(spec.step_time),
        longest=spec.max_model_len,
        pin_s=pin_s,
    )


def targets(ttft_s: float = 0.5, itl_s: float | None = 0.05, percentile: float = 95) -> Targets:
    return Targets(ttft_s=ttft_s, itl_s=itl_s, percentile=percentile)


def test_arrivals_are_poisson_with_the_mixs_lengths() -> None:
    requests = arrivals(CHAT, 2000, 32_768)
    gaps = [b.at - a.at for a, b in itertools.pairwise(requests)]
    prompts = [r.prompt_tokens for r in requests]
    assert fmean(gaps) == pytest.approx(1, rel=0.01)
    assert math.sqrt(fmean((g - 1) ** 2 for g in gaps)) == pytest.approx(1, rel=0.03)  # exponential: as wide as long
    assert abs(fmean((a - 1) * (b - 1) for a, b in itertools.pairwise(gaps))) < 0.05  # and without memory
    assert fmean(prompts) == pytest.approx(1000, rel=0.02)
    assert quantiles(prompts, n=20)[18] == pytest.approx(2500, rel=0.03)


def test_arrivals_are_the_same_every_time_and_fit_the_engine() -> None:
    assert arrivals(CHAT, 800, 900) == arrivals.__wrapped__(CHAT, 800, 900)
    assert all(r.prompt_tokens + r.output_tokens <= 900 and r.output_tokens >= 1 for r in arrivals(CHAT, 800, 900))


def test_a_constant_length_has_no_width_and_a_mean_above_its_p95_neither() -> None:
    assert lognormal_sigma(100, 100) == 0
    assert lognormal_sigma(100, 50) == 0


def test_a_prefill_replica_holds_no_more_than_its_compute() -> None:
    """2,000 tokens at 10 us are 20 ms: 50 a second at most, and with a long TTFT nearly all of that."""
    step = StepTimeSpec(base_s=1e-6, prefill_token_s=1e-5, prefill_attention_s=0, sequence_s=0, context_token_s=0)
    prefill = replica(Role.PREFILL, step_time=step, kv_blocks=100_000)
    mix = Mix(isl=2000, isl_p95=2000, osl=10, osl_p95=10)
    assert 42 < capacity(prefill, mix, targets(2.0, None)).rate < 50 * STEP  # answers are that fine
    assert capacity(prefill, mix, targets(0.05, None)).rate < 35  # queueing: little room above one service time


def test_a_decode_replica_holds_what_its_pace_allows() -> None:
    """A step of 1 ms and 1 ms a sequence within 20 ms: about 19 sequences of 100 tokens every 2 s at most."""
    step = StepTimeSpec(base_s=1e-3, prefill_token_s=0, prefill_attention_s=0, sequence_s=1e-3, context_token_s=0)
    decode = replica(Role.DECODE, step_time=step)
    held = capacity(decode, Mix(isl=100, isl_p95=100, osl=100, osl_p95=100), targets(0.1, 0.02)).rate
    assert 4 < held < 10


def test_a_prefill_engine_holds_less_if_its_kv_is_long_unread() -> None:
    mix = Mix(isl=1000, isl_p95=1000, osl=10, osl_p95=10)
    small = {"kv_blocks": 200}  # three prompts of 63 blocks
    quick = capacity(replica(Role.PREFILL, **small), mix, targets(0.5, None)).rate
    slow = capacity(replica(Role.PREFILL, pin_s=1.0, **small), mix, targets(0.5, None)).rate
    assert slow < quick / 5
    assert slow < 3.1


def test_tighter_targets_and_longer_requests_hold_less() -> None:
    base = capacity(replica(), CHAT, targets()).rate
    assert capacity(replica(), CHAT, targets(0.2)).rate <= base
    assert capacity(replica(), CHAT, targets(itl_s=0.02)).rate < base
    assert capacity(replica(), Mix(isl=2000, isl_p95=5000, osl=100, osl_p95=250), targets()).rate < base


def test_prefix_hits_raise_what_a_replica_holds() -> None:
    mix = Mix(isl=3000, isl_p95=6000, osl=50, osl_p95=100)
    warm = Mix(isl=3000, isl_p95=6000, osl=50, osl_p95=100, hit_ratio=0.6)
    assert capacity(replica(), warm, targets()).rate > 1.5 * capacity(replica(), mix, targets()).rate


def test_a_small_kv_cache_holds_less() -> None:
    assert capacity(replica(kv_blocks=1000), CHAT, targets()).rate < 0.7 * capacity(replica(), CHAT, targets()).rate


def test_half_a_step_below_the_answer_holds_and_half_a_step_above_does_not() -> None:
    held = capacity(replica(), CHAT, targets())
    assert holds(replica(), CHAT, targets(), held.rate / STEP**0.5)
    assert not holds(replica(), CHAT, targets(), held.rate * STEP**0.5)


def test_targets_that_nothing_can_hold_are_relaxed_and_it_says_so() -> None:
    """Prompts of 20,000 tokens take 0.37 s alone: 0.4 s is held by idle engines only, and asked for at half of 0.8 s.

    At that, one that finds another waiting is late. With Poisson arrivals at a load of 0.3 these are 5 %: 0.8 a second.
    """
    long = Mix(isl=20_000, isl_p95=20_000, osl=10, osl_p95=10)
    held = capacity(replica(), long, targets(0.1))
    assert (held.relaxed, held.targets.ttft_s) == (8.0, pytest.approx(0.8))
    at_those = capacity(replica(), long, held.targets)
    assert at_those.relaxed == 1.0
    assert at_those.rate == pytest.approx(0.8, rel=0.1)
    assert held.rate == pytest.approx(at_those.rate / 2)


@pytest.mark.parametrize("ttft_s", [0.1, 0.3, 0.36, 0.38, 0.5])
def test_a_prompt_that_is_too_late_alone_is_known_without_a_rehearsal(ttft_s: float) -> None:
    """And the other way round: one that is not, is held by an engine that is nearly idle."""
    long = Mix(isl=20_000, isl_p95=20_000, osl=10, osl_p95=10)
    lax = targets(ttft_s, 10.0)
    assert alone_too_late(replica(), long, lax) is (ttft_s < 0.37)
    assert holds(replica(), long, lax, 1e-3) is not alone_too_late(replica(), long, lax)


@pytest.mark.parametrize("ttft_s", [10.0, 60.0, 600.0])
def test_a_lax_target_hides_no_overload(ttft_s: float) -> None:
    """A run of some thousand requests ends before a queue is a minute long; the rate must be sustained all the same."""
    sustained = capacity(replica(), CHAT, targets(3.0)).rate
    assert sustained <= capacity(replica(), CHAT, targets(ttft_s)).rate < 1.1 * sustained


@pytest.mark.parametrize("role", [Role.WORKER, Role.PREFILL, Role.DECODE])
def test_the_search_ends_however_little_is_asked_of_a_quick_engine(role: Role) -> None:
    quick = StepTimeSpec(base_s=1e-5, prefill_token_s=0, prefill_attention_s=0, sequence_s=0, context_token_s=0)
    tiny = Mix(isl=10, isl_p95=10, osl=1, osl_p95=1)
    itl_s = None if role is Role.PREFILL else 60.0
    assert math.isfinite(capacity(replica(role, step_time=quick), tiny, targets(600.0, itl_s)).rate)


def test_a_long_prompt_in_small_chunks_takes_fewer_requests_of_a_run() -> None:
    """A run is bounded by what it computes: 20,000 tokens at 64 a step are 313 steps for each request."""
    chunked = replica(max_num_seqs=32, max_num_batched_tokens=64)
    long = Mix(isl=20_000, isl_p95=20_000, osl=10, osl_p95=10)
    assert requests_for(chunked, long, targets(), 0.1) == FEWEST_OF_CHUNKS
    assert requests_for(replica(), long, targets(), 0.1) == FEWEST


def test_the_same_question_has_the_same_answer_whatever_was_asked_before() -> None:
    first = capacity(replica(), CHAT, targets())
    capacity.cache_clear()
    capacity(replica(), Mix(isl=50, isl_p95=100, osl=5, osl_p95=10), targets())
    assert capacity(replica(), CHAT, targets()) == first
    assert isinstance(first, Capacity)


@pytest.mark.parametrize("gaps", [Gaps(10, 0, 7, 3), Gaps(10, 1, 7, 3), Gaps(10, 4, 7, 3), Gaps(30, 2, 5, 2)])
@pytest.mark.parametrize("limit", [5, 9, 10, 11, 14, 30, 100])
def test_late_tokens_are_counted_in_one_stroke(gaps: Gaps, limit: int) -> None:
    one_by_one = sum(gaps.sequences for j in range(gaps.steps) if gaps.first + j * gaps.growth > limit)
    assert late_tokens(gaps, limit) == one_by_one


def test_a_figure_stays_on_its_place_of_the_grid_until_it_has_moved_by_a_step() -> None:
    settled = settle(None, CHAT)
    near = Mix(isl=CHAT.isl * 1.05, isl_p95=CHAT.isl_p95 * 1.05, osl=CHAT.osl * 0.95, osl_p95=CHAT.osl_p95 * 0.95)
    assert settle(settled, near) == settled
    far = Mix(isl=CHAT.isl * 1.5, isl_p95=CHAT.isl_p95 * 1.5, osl=CHAT.osl, osl_p95=CHAT.osl_p95)
    assert settle(settled, far).isl > settled.isl
    assert settle(settled, far).osl == settled.osl
    assert settle(settled, CHAT) == settled


def test_a_high_hit_ratio_is_not_taken_for_a_perfect_one() -> None:
    """What a prompt costs are its misses: with 4 % of them twice as much as with 2 %."""
    for hit_ratio in (0.0, 0.3, 0.9, 0.96, 0.98):
        assert 1 - settle(None, replace(CHAT, hit_ratio=hit_ratio)).hit_ratio == pytest.approx(1 - hit_ratio, rel=0.07)
    assert settle(None, replace(CHAT, hit_ratio=1.0)).hit_ratio == pytest.approx(0.99, abs=0.001)


@pytest.mark.parametrize(("rate", "smooth_s"), [(50.0, 60.0), (1.0, 300.0), (0.0, 1800.0)])
def test_a_mix_is_smoothed_over_a_minute_or_some_hundred_requests(rate: float, smooth_s: float) -> None:
    now = Mix(isl=3000, isl_p95=7500, osl=100, osl_p95=250)
    halfway = blend(CHAT, now, smooth_s * math.log(2), rate=rate)
    assert halfway.isl == pytest.approx(2000)
    assert halfway.osl == pytest.approx(100)


def test_of_several_replicas_each_holds_more_where_prompts_are_uneven_and_as_much_where_they_are_alike() -> None:
    """Behind a long prompt nobody waits who can go elsewhere; and no pool can take more work than it has time."""
    among = {n: replace(replica(Role.PREFILL), beside=n) for n in (1, 2, 4)}
    uneven = replace(CHAT, isl=4000, isl_p95=14_000)
    alone, two, four = (capacity(among[n], uneven, targets(2.0, None)).rate for n in (1, 2, 4))
    assert alone * STEP < two * STEP <= four * STEP**2
    assert four > 1.1 * alone
    busy = saturated(among[4], uneven, targets(2.0, None))
    assert not holds(among[4], uneven, targets(2.0, None), 1.3 * busy)
    decode = [capacity(replace(replica(Role.DECODE), beside=n), CHAT, targets()).rate for n in (1, 4)]
    assert decode[1] == pytest.approx(decode[0], rel=2 * (STEP - 1))
