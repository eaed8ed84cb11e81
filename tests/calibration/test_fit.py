"""The fit: finds parameters that made-up measurements were made with, and says how far off it would have been."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from penstock.calibration import priors
from penstock.calibration.fit import fit
from penstock.calibration.least_squares import fit_positive, log_errors
from penstock.calibration.open_loop import play_open_loop
from penstock.calibration.points import ClosedLoop, Limits, OpenLoop, Point
from penstock.calibration.replay import predict, replay
from penstock.errors import InputError
from penstock.hardware.gpus import gpu
from penstock.hardware.models import known_model
from penstock.hardware.profile import Profile
from penstock.hardware.serving import Serving
from penstock.hardware.step_model import Correction, EngineFactors, serving_times

# The hidden truth: some parts differ from what is believed by more than their spread.
TRUTH = replace(priors.SHARED, kv=0.6, gemm_bf16=0.6, layer_s=36e-6, request_s=30e-3, sequence_s=45e-6)
LIMITS = Limits(max_num_batched_tokens=8192)


def measured(
    serving: Serving, *, loads: Sequence[tuple[int, int, int]], odd: Correction | None = None, noise: float = 0.0
) -> list[Point]:
    """Points as a truthful machine would give them; `odd`: by what it differs from all others."""
    times = serving_times(TRUTH, EngineFactors(), odd or Correction(), serving)
    points = []
    for index, (users, isl, osl) in enumerate(loads):
        load = ClosedLoop(users=users, requests=4 * users, isl=isl, osl=osl, spread=0.1, limits=LIMITS)
        name = f"{serving.model.name} {serving.gpus} {users}x{isl}x{osl}"
        blank = Point(id=name, serving=serving, load=load, ttft_s=None, tpot_s=None)
        seen = predict(blank, replay(blank), times)
        assert seen.ttft_s is not None
        assert seen.tpot_s is not None
        off = 1 + noise * (-1) ** index
        points.append(replace(blank, ttft_s=seen.ttft_s * off, tpot_s=seen.tpot_s * off))
    return points


LOADS = [(users, isl, osl) for users in (2, 8, 32) for isl, osl in ((200, 60), (2000, 60), (2000, 200))]
H100 = gpu("H100")


@cache
def fitted(odd: float = 1.0) -> Profile:
    points = []
    for name, gpus in (("Llama-3.1-8B", 1), ("Qwen3-32B", 2), ("Llama-3.3-70B", 4), ("Qwen3-0.6B", 1)):
        serving = Serving(model=known_model(name), gpu=H100, engine="vllm", version="1", gpus=gpus)
        differs = Correction(layer=odd) if name == "Qwen3-32B" else None
        points += measured(serving, loads=LOADS, odd=differs, noise=0.01)
    return fit(points, source="made up", as_of="today", note=lambda line: None)


def test_a_fit_finds_what_measurements_were_made_with() -> None:
    """Errors of the noise, 1 %; and little more where a model was left out, though what is believed is far off."""
    for campaign in fitted().campaigns:
        assert campaign.fitted.tpot is not None
        assert campaign.left_out.tpot is not None
        assert campaign.fitted.tpot < 0.015, campaign
        assert campaign.left_out.tpot < 0.08, campaign
    shared = fitted().shared
    assert TRUTH.gemm_bf16 < shared.gemm_bf16 < 0.98 * priors.SHARED.gemm_bf16
    assert 1.2 * priors.SHARED.request_s < shared.request_s < 1.2 * TRUTH.request_s


def test_a_campaign_that_differs_is_corrected_and_its_left_out_error_shows_it() -> None:
    """Layers of one model take twice as long: its own points are met, and nobody could have known."""
    odd = next(campaign for campaign in fitted(2.0).campaigns if campaign.model == "Qwen/Qwen3-32B")
    assert odd.fitted.tpot is not None
    assert odd.left_out.tpot is not None
    assert odd.fitted.tpot < 0.03
    assert odd.left_out.tpot > 3 * odd.fitted.tpot
    assert odd.left_out.tpot_bias is not None
    assert odd.left_out.tpot_bias < -0.05
    assert odd.corrections[0].correction.layer > 1.05
    assert odd.corrections[0].version == "1"


def test_the_same_measurements_give_the_same_profile() -> None:
    assert fitted.__wrapped__() == fitted()


def test_an_outlier_moves_a_fit_by_little() -> None:
    """One point of nine is four times too slow, as if filed under the wrong number of GPUs."""
    serving = Serving(model=known_model("Llama-3.1-8B"), gpu=H100, engine="vllm")
    points = measured(serving, loads=LOADS)
    wrong = replace(points[4], tpot_s=4 * (points[4].tpot_s or 0.0))
    (campaign,) = fit([*points[:4], wrong, *points[5:]], source="", as_of="", note=lambda line: None).campaigns
    (correction,) = campaign.corrections
    assert campaign.fitted.tpot == pytest.approx(0.75 / 9, abs=0.04)
    assert correction.points == 9


def test_an_open_loop_is_met_request_by_request() -> None:
    """Weights take 30 % longer to read than believed; the run's mean TPOT comes out within 2 %."""
    serving = Serving(model=known_model("Llama-3.1-8B"), gpu=gpu("L40S"), engine="vllm", version="1")
    arrivals = tuple((0.2 * number, 300 + 50 * (number % 7), 40) for number in range(40))
    load = OpenLoop(arrivals=arrivals, limits=replace(LIMITS, kv_tokens=50_000), at_engine=True)
    truth = serving_times(priors.SHARED, EngineFactors(), Correction(weights=1.3), serving)
    blank = Point(id="run", serving=serving, load=load, ttft_s=None, tpot_s=None)
    seen = predict(blank, None, truth)
    single = play_open_loop(serving, load, truth.step_time(serving), kv_tokens=50_000)
    load = replace(load, ttft_s=single.ttft_s, tpot_s=single.tpot_s)
    known = Serving(model=known_model("Llama-3.1-8B"), gpu=H100, engine="vllm")
    points = [*measured(known, loads=LOADS), replace(blank, load=load, ttft_s=seen.ttft_s, tpot_s=seen.tpot_s)]
    profile = fit(points, source="", as_of="", note=lambda line: None)
    campaign = profile.campaign(serving)
    assert campaign is not None
    assert campaign.fitted.tpot is not None
    assert campaign.left_out.tpot is not None
    assert campaign.fitted.tpot < 0.02 < campaign.left_out.tpot


def test_without_a_point_that_counts_there_is_no_fit() -> None:
    with pytest.raises(InputError, match="no point is an unsaturated closed loop or sweep"):
        fit([], source="", as_of="", note=lambda line: None)


def test_a_prior_decides_what_measurements_do_not() -> None:
    """Two factors whose product alone is seen: the one that is believed less firmly moves."""
    found = fit_positive(
        lambda values: np.array([np.log(values[0] * values[1] / 6)]), prior=[1, 1], spread=[0.01, 1], weight=0.01
    )
    assert found[0] == pytest.approx(1, abs=0.01)
    assert found[0] * found[1] == pytest.approx(6, rel=0.01)


def test_errors_of_outliers_are_reined_in_and_unknowns_are_none() -> None:
    seen = log_errors(np.array([1.01, 4.0, 5.0]), np.array([1.0, 1.0, np.nan]), 0.1)
    assert seen[0] == pytest.approx(0.01, rel=0.01)
    assert 0.2 < seen[1] < np.log(4) / 2
    assert seen[2] == 0
