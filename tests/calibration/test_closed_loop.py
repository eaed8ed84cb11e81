"""Replays: seven sums instead of a simulation, and exact all the same."""

from dataclasses import replace

import pytest

from penstock.calibration.closed_loop import engine_config, replay_burst, replay_closed_loop
from penstock.calibration.features import seconds
from penstock.calibration.fixed_batch import replay_lone_prompt, replay_steady_decode
from penstock.calibration.points import Burst, ClosedLoop, Limits, LonePrompt, SteadyDecode
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest
from penstock.engine.timeline import Timeline
from penstock.hardware.gpus import gpu
from penstock.hardware.models import known_model
from penstock.hardware.serving import Serving
from penstock.hardware.step_model import ServingTimes, StepCoefficients
from penstock.hardware.steptime import TICKS_PER_S

VLLM = Serving(model=known_model("Llama-3.1-8B"), gpu=gpu("H100"), engine="vllm")
SGLANG = replace(VLLM, engine="sglang")
MOE = replace(VLLM, model=known_model("Qwen3-30B-A3B"))
LIMITS = Limits(max_num_batched_tokens=2048)
LOOP = ClosedLoop(users=6, requests=60, isl=700, osl=60, spread=0.0, limits=LIMITS)
COEFFICIENTS = (6.1e-3, 3.3e-3, 1.7e-5, 1.3e-9, 4.1e-5, 3.7e-8, 7.9e-3)
PLENTY = 10**7


def played_on_a_clock(serving: Serving, load: ClosedLoop, kv_tokens: int) -> tuple[float, float]:
    """Mean TTFT and TPOT of the same loop, its users driven by the engine's clock."""
    times = ServingTimes(step=StepCoefficients(*COEFFICIENTS), request_s=0.0, lag_steps=0.0)
    step_time = times.step_time(serving)
    config = engine_config(serving, load.limits, kv_tokens=kv_tokens, at_least=load.isl + load.osl)
    timeline = Timeline(Engine(config), step_time)
    sent: dict[int, int] = {}
    first: dict[int, int] = {}
    ttft = tpot = 0

    def send(at: int) -> None:
        if len(sent) < load.requests:
            number = len(sent)
            sent[number] = at
            timeline.add(at, EngineRequest(number, load.isl, load.osl))

    for _ in range(load.users):
        send(0)
    while (end := timeline.next_event()) is not None:
        for moment in timeline.advance(end):
            for number in moment.progress.first_tokens:
                first[number] = moment.at
                ttft += moment.at - sent[number]
            for number in moment.progress.finished:
                tpot += moment.at - first[number]
                send(moment.at)
    return ttft / load.requests / TICKS_PER_S, tpot / load.requests / (load.osl - 1) / TICKS_PER_S


@pytest.mark.parametrize("serving", [VLLM, SGLANG, MOE])
@pytest.mark.parametrize("kv_tokens", [PLENTY, 2500])
def test_a_replay_gives_what_the_engine_takes_on_its_clock(serving: Serving, kv_tokens: int) -> None:
    """To the rounding of floats: mixed steps and prompts first, experts, and a pool so small that requests wait."""
    replayed = replay_closed_loop(serving, LOOP, kv_tokens=kv_tokens)
    assert replayed.ttft is not None
    assert replayed.tpot is not None
    ttft_s, tpot_s = played_on_a_clock(serving, LOOP, kv_tokens)
    assert seconds(replayed.ttft, COEFFICIENTS) == pytest.approx(ttft_s, rel=1e-8)
    assert seconds(replayed.tpot, COEFFICIENTS) == pytest.approx(tpot_s, rel=1e-8)


def test_what_the_steps_are_does_not_depend_on_how_long_they_take() -> None:
    """Ten times slower on the clock is ten times slower in the sums: the features are those of any times."""
    replayed = replay_closed_loop(VLLM, LOOP, kv_tokens=PLENTY)
    assert replayed == replay_closed_loop(replace(VLLM, gpu=gpu("L4")), LOOP, kv_tokens=PLENTY)


def test_equal_requests_wait_for_each_other_and_varied_ones_do_not() -> None:
    """With prompts first and equal lengths everyone prefills at once, again and again; a little spread ends that."""
    load = replace(LOOP, users=16, requests=160)
    equal = replay_closed_loop(SGLANG, load, kv_tokens=PLENTY)
    varied = replay_closed_loop(SGLANG, replace(load, spread=0.2), kv_tokens=PLENTY)
    assert equal.ttft is not None
    assert varied.ttft is not None
    assert equal.ttft[2] > 3 * varied.ttft[2]


def test_a_loop_near_the_size_of_the_pool_is_told() -> None:
    longest = LOOP.users * (LOOP.isl + LOOP.osl)
    assert replay_closed_loop(VLLM, LOOP, kv_tokens=longest).kv_full
    assert not replay_closed_loop(VLLM, LOOP, kv_tokens=2 * longest).kv_full


def test_a_burst_has_the_prompts_of_its_own_in_the_way() -> None:
    """The first tokens of the first sequence pass while the last prompt is computed; a steady batch has none of it."""
    burst = replay_burst(VLLM, Burst(sequences=8, isl=3000, osl=100, limits=LIMITS), kv_tokens=PLENTY)
    steady = replay_steady_decode(VLLM, SteadyDecode(sequences=8, context=3050))
    assert burst.tpot is not None
    assert steady.tpot is not None
    assert burst.tpot[2] > 0
    assert steady.tpot[:5] == (1, 0, 0, 0, 8)
    assert burst.tpot[0] == pytest.approx(1)


def test_a_long_prompt_takes_a_step_for_each_chunk() -> None:
    """5,000 tokens at 2,048 a step: three steps, and every pair once."""
    replayed = replay_lone_prompt(VLLM, LonePrompt(isl=5000, limits=LIMITS))
    assert replayed.ttft == (3, 3, 5000, 5000 * 5001 // 2, 0, 0, 0)
    assert replayed.tpot == (1, 0, 0, 0, 1, 5001, 0)
