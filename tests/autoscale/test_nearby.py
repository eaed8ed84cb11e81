"""The formula's slope against rehearsals, and how long a rehearsal stands."""

from dataclasses import replace

import pytest

from penstock.autoscale.arrivals import Mix
from penstock.autoscale.capacity import STEP, capacity
from penstock.autoscale.estimate import estimate, saturated
from penstock.autoscale.nearby import Question, answer
from penstock.autoscale.rehearsal import Replica, Targets, holds
from penstock.engine.config import EngineConfig
from penstock.hardware.steptime import StepTime
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role

CHAT = Mix(isl=1000, isl_p95=2500, osl=200, osl_p95=500)
CODE = Mix(isl=2500, isl_p95=8000, osl=20, osl_p95=60)
AGENT = Mix(isl=6000, isl_p95=12_000, osl=150, osl_p95=400, hit_ratio=0.5, dispersed=3.0)
TARGETS = {
    Role.WORKER: Targets(ttft_s=2.0, itl_s=0.2, percentile=95),
    Role.PREFILL: Targets(ttft_s=2.0, itl_s=None, percentile=95),
    Role.DECODE: Targets(ttft_s=0.2, itl_s=0.1, percentile=95),
}


def question(mix: Mix, role: Role = Role.WORKER) -> Question:
    spec = EngineSpec()
    replica = Replica(
        config=EngineConfig.from_spec(spec, role),
        step_time=StepTime.from_spec(spec.step_time),
        longest=spec.max_model_len,
    )
    return Question(replica=replica, mix=mix, targets=TARGETS[role])


def rehearsed(asked: Question) -> float:
    return capacity(asked.replica, asked.mix, asked.targets).rate


@pytest.mark.parametrize("role", [Role.WORKER, Role.PREFILL, Role.DECODE])
@pytest.mark.parametrize("mix", [CHAT, CODE, AGENT])
def test_the_formula_is_within_a_half_of_a_rehearsal(mix: Mix, role: Role) -> None:
    asked = question(mix, role)
    assert estimate(asked.replica, mix, asked.targets) == pytest.approx(rehearsed(asked), rel=0.5)


@pytest.mark.parametrize("mix", [CHAT, CODE, AGENT])
def test_no_replica_holds_more_than_fills_its_seconds(mix: Mix) -> None:
    asked = question(mix)
    lax = replace(asked.targets, ttft_s=30.0)
    assert not holds(asked.replica, mix, lax, 1.2 * saturated(asked.replica, mix, lax))


@pytest.mark.parametrize("mix", [CHAT, CODE, AGENT])
@pytest.mark.parametrize(
    "change",
    [
        {"isl": 1.15, "isl_p95": 1.15},
        {"osl": 0.8, "osl_p95": 0.8},
        {"isl_p95": 0.8},
        {"isl": 0.9, "isl_p95": 0.9, "osl": 1.1, "osl_p95": 1.1, "dispersed": 1.1},
    ],
)
def test_an_answer_nearby_is_as_good_as_a_rehearsal_to_a_step_of_its_grid_and_a_half(
    mix: Mix, change: dict[str, float]
) -> None:
    first = answer(None, question(mix))
    moved = question(replace(mix, **{name: getattr(mix, name) * factor for name, factor in change.items()}))
    then = answer(first, moved)
    assert then.rehearsed == first.rehearsed
    assert then.holds.rate == pytest.approx(rehearsed(moved), rel=STEP**1.5 - 1)


def test_a_mix_far_away_is_rehearsed() -> None:
    first = answer(None, question(CHAT))
    then = answer(first, question(CODE))
    assert then.rehearsed == then.asked == question(CODE)
    assert then.holds.rate == rehearsed(then.asked)


def test_two_changes_that_cancel_out_are_far_all_the_same() -> None:
    """Twice the prompt and fewer outputs may cost the same, but of another kind."""
    first = question(CHAT)
    swapped = replace(CHAT, isl=1700, isl_p95=4250)
    while estimate(first.replica, swapped, first.targets) < estimate(first.replica, CHAT, first.targets):
        swapped = replace(swapped, osl=swapped.osl * 0.95, osl_p95=swapped.osl_p95 * 0.95)
    assert answer(answer(None, first), question(swapped)).rehearsed == question(swapped)
