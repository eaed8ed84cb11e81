"""Predictions of points, and their errors: what counts, what is saturated, what is skipped."""

from dataclasses import replace

import pytest

from penstock.calibration.compare import compare, errors
from penstock.calibration.open_loop import play_open_loop
from penstock.calibration.points import ClosedLoop, Limits, LonePrompt, OpenLoop, Point, Skipped
from penstock.calibration.replay import predict, replay
from penstock.hardware.gpus import gpu
from penstock.hardware.models import known_model
from penstock.hardware.profile import shipped_profile
from penstock.hardware.serving import Serving

PROFILE = shipped_profile()
SERVING = Serving(model=known_model("Llama-3.1-8B"), gpu=gpu("H100"), engine="vllm")
LIMITS = Limits(max_num_batched_tokens=8192)
LOOP = ClosedLoop(users=4, requests=40, isl=1000, osl=50, spread=0.05, limits=LIMITS)
LOOSE = OpenLoop(arrivals=tuple((float(number), 500, 20) for number in range(20)), limits=LIMITS)


def point(load: ClosedLoop | OpenLoop | LonePrompt, **changes: object) -> Point:
    fields = {"id": "p", "serving": SERVING, "load": load, "ttft_s": 0.05, "tpot_s": 0.008}
    return Point(**(fields | changes))  # type: ignore[arg-type]


def test_errors_are_relative_and_count_what_is_not_saturated() -> None:
    """A loop that needs more KV than there is, is compared but does not count."""
    full = replace(LOOP, users=400, requests=400, isl=8000)
    comparison = compare([point(LOOP), point(full, id="full")], [], PROFILE)
    one, other = comparison.points
    assert (one.predicted.saturated, other.predicted.saturated) == (False, True)
    assert comparison.unsaturated == (one,)
    found = errors(comparison.unsaturated)
    assert one.predicted.tpot_s is not None
    assert found.tpot_bias == pytest.approx(one.predicted.tpot_s / 0.008 - 1)
    assert found.tpot == abs(found.tpot_bias or 0.0)


def test_a_first_token_that_took_longer_than_all_prompts_waited_for_something_else() -> None:
    """Four prompts of 1,000 tokens take a fraction of a second: 20 s are not theirs."""
    assert not compare([point(LOOP, ttft_s=0.5)], [], PROFILE).points[0].predicted.saturated
    assert compare([point(LOOP, ttft_s=20.0)], [], PROFILE).points[0].predicted.saturated


def test_a_model_that_does_not_fit_is_skipped_with_its_figures() -> None:
    """And rows that were skipped already stay so."""
    giant = point(LOOP, id="giant", serving=replace(SERVING, model=known_model("DeepSeek-V3")))
    comparison = compare([giant], [Skipped(id="before", why="x")], PROFILE)
    assert comparison.points == ()
    assert [skipped.id for skipped in comparison.skipped] == ["before", "giant"]
    assert "does not fit, by" in comparison.skipped[1].why


def test_what_was_not_measured_is_not_compared() -> None:
    (compared,) = compare([point(LonePrompt(isl=100, limits=LIMITS), tpot_s=None)], [], PROFILE).points
    assert compared.tpot_error is None
    assert compared.ttft_error is not None
    assert errors([compared]).tpot is None


def test_requests_far_apart_take_what_a_lone_prompt_takes() -> None:
    """One a second, each done before the next comes."""
    times = PROFILE.times(SERVING)
    alone = predict(point(LonePrompt(isl=500, limits=LIMITS)), replay(point(LonePrompt(isl=500, limits=LIMITS))), times)
    open_loop = predict(point(LOOSE), None, times)
    assert open_loop.ttft_s == pytest.approx(alone.ttft_s, rel=0.01)
    assert not open_loop.saturated


def test_times_taken_in_the_engine_leave_out_what_its_client_waits() -> None:
    times = PROFILE.times(SERVING)
    inside = predict(point(replace(LOOSE, at_engine=True)), None, times)
    outside = predict(point(LOOSE), None, times)
    assert inside.tpot_s == outside.tpot_s
    assert outside.ttft_s == pytest.approx(
        (inside.ttft_s or 0.0) + times.request_s + times.lag_steps * (inside.tpot_s or 0.0)
    )


def test_everything_at_once_is_saturated() -> None:
    at_once = replace(LOOSE, arrivals=((0.0, 500, 20),) * 3)
    assert predict(point(at_once), None, PROFILE.times(SERVING)).saturated


def test_an_open_loop_queues_for_seats() -> None:
    """With one seat the second of two requests waits for the first one's last token."""
    pair = OpenLoop(arrivals=((0.0, 500, 20), (0.0, 500, 20)), limits=replace(LIMITS, max_num_seqs=1))
    step_time = PROFILE.times(SERVING).step_time(SERVING)
    played = play_open_loop(SERVING, pair, step_time, kv_tokens=10**6)
    assert played.ttft_s[1] == pytest.approx(2 * played.ttft_s[0] + 19 * played.tpot_s[0], rel=1e-6)
