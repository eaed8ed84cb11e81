"""Predicted step times: they move as the hardware says, and the five coefficients of a file come near the seven."""

from dataclasses import fields, replace

import pytest

from penstock.engine.batch import Batch
from penstock.hardware.gpus import gpu
from penstock.hardware.linear_step_time import linear
from penstock.hardware.models import known_model
from penstock.hardware.profile import shipped_profile
from penstock.hardware.serving import Serving
from penstock.hardware.step_model import Correction, EngineFactors, ServingTimes, Shared, serving_times
from penstock.hardware.steptime import TICKS_PER_S, StepTime, experts_read

PROFILE = shipped_profile()
DENSE = Serving(model=known_model("Llama-3.1-8B"), gpu=gpu("H100"), engine="vllm")
MOE = Serving(model=known_model("Qwen3-30B-A3B"), gpu=gpu("H100"), engine="vllm")


def times(serving: Serving, correction: Correction | None = None, **shared: float) -> ServingTimes:
    changed = replace(PROFILE.shared, **shared)
    return serving_times(changed, EngineFactors(), correction or Correction(), serving)


def decode_s(served: ServingTimes, serving: Serving, sequences: int, context: int = 1000) -> float:
    return served.step_time(serving).decode_step_s(sequences, sequences * context)


def test_every_shared_parameter_moves_some_prediction() -> None:
    """None is left over from an older formula."""
    cut = [
        replace(DENSE, gpus=2),
        replace(DENSE, precision="fp8"),
        replace(MOE, expert_parallel=True, gpus=2),
        Serving(model=known_model("DeepSeek-V3"), gpu=gpu("H200"), engine="sglang", precision="fp8", gpus=8),
    ]
    for field in fields(Shared):
        doubled = 2 * getattr(PROFILE.shared, field.name)
        assert any(times(each) != times(each, **{field.name: doubled}) for each in cut), field.name


def test_every_correction_moves_the_prediction() -> None:
    moe = replace(MOE, gpus=2)
    for field in fields(Correction):
        assert times(moe) != times(moe, Correction(**{field.name: 2.0})), field.name


def test_more_gpus_and_narrower_weights_decode_faster() -> None:
    """A model of 70 billion reads its weights most of the time."""
    big = replace(DENSE, model=known_model("Llama-3.3-70B"))
    steps = [decode_s(times(each), each, 8) for each in (big, replace(big, gpus=2), replace(big, gpus=8))]
    assert steps == sorted(steps, reverse=True)
    assert decode_s(times(replace(big, precision="fp8")), big, 8) < 0.7 * steps[0]


def test_a_lone_token_takes_about_what_its_weights_take_to_read() -> None:
    """16 GB at 3.35 TB/s are 4.8 ms; 10 to 60 % more for everything else."""
    assert 4.8e-3 * 1.1 < decode_s(times(DENSE), DENSE, 1) < 4.8e-3 * 1.6


def test_a_mixture_of_experts_slows_down_as_more_sequences_touch_more_of_it() -> None:
    """From 1 to 32 sequences by far more than a dense model of the same speed does."""
    assert decode_s(times(MOE), MOE, 32) > 2.5 * decode_s(times(MOE), MOE, 1)
    assert decode_s(times(DENSE), DENSE, 32) < 1.7 * decode_s(times(DENSE), DENSE, 1)


@pytest.mark.parametrize("serving", [DENSE, MOE])
def test_a_deployment_file_can_say_all_of_it(serving: Serving) -> None:
    """Through the spec, a step takes what the coefficients sum up to, prompts and experts included."""
    served = times(serving)
    exact = StepTime.from_spec(served.spec(serving))
    step, share = served.step, serving.model.expert_share
    batch = Batch(1024, 1024 * 1025 // 2, 32, 32_000, 1)
    expected_s = (
        step.step_s
        + step.prefill_step_s
        + 1024 * step.prefill_token_s
        + batch.prefill_pairs * step.prefill_pair_s
        + 32 * step.sequence_s
        + 32_000 * step.context_token_s
        + step.experts_s * experts_read(1056, share)
    )
    assert exact.first_step(batch) == pytest.approx(expected_s * TICKS_PER_S, rel=2e-5)


@pytest.mark.parametrize("serving", [DENSE, MOE])
def test_the_linear_form_comes_near(serving: Serving) -> None:
    """Exact for the sequences asked for, and a prompt of the length asked for; close from half to twice as many."""
    spec = times(serving).spec(serving)
    exact = StepTime.from_spec(spec)
    near = StepTime.from_spec(linear(spec, sequences=32, prompt_tokens=1024))
    assert near.experts == near.prefill_step == 0
    for sequences, tolerance in ((32, 1e-6), (16, 0.08), (64, 0.08)):
        asked = (sequences, 1000 * sequences)
        assert near.decode_step_s(*asked) == pytest.approx(exact.decode_step_s(*asked), rel=tolerance)
    prompt = Batch(1024, 1024 * 1025 // 2, 32, 32_000, 1)
    assert near.first_step(prompt) == pytest.approx(exact.first_step(prompt), abs=1e-6 * TICKS_PER_S)
