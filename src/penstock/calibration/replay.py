"""Any point, played as it was measured; and what a set of times predicts for it."""

from dataclasses import dataclass

from penstock.calibration.closed_loop import Replay, replay_burst, replay_closed_loop
from penstock.calibration.features import seconds
from penstock.calibration.fixed_batch import replay_lone_prompt, replay_steady_decode
from penstock.calibration.open_loop import play_open_loop
from penstock.calibration.points import Burst, ClosedLoop, Limits, LonePrompt, OpenLoop, Point, SteadyDecode
from penstock.hardware.kv_capacity import kv_capacity
from penstock.hardware.serving import Serving
from penstock.hardware.step_model import ServingTimes

# In a closed loop no request waits longer than for the prompts of all users, unless it waits for something else: seats,
# memory, the client. A measured mean above this many times that, and this much, tells that it did.
_OVERLONG, _OVERLONG_S = 1.5, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Mean times of a point; None where its load has no such time. `saturated`: see `predict`."""

    ttft_s: float | None
    tpot_s: float | None
    saturated: bool


def kv_tokens_of(serving: Serving, limits: Limits) -> int:
    """Tokens of the KV pool: as stated, else derived. Raises: InputError, if the model does not fit."""
    if limits.kv_tokens is not None:
        return limits.kv_tokens
    return kv_capacity(
        serving, max_num_batched_tokens=limits.max_num_batched_tokens, memory_share=limits.memory_share
    ).tokens


def replay(point: Point) -> Replay | None:
    """What a point's steps consist of; None for an open loop, where that depends on the times."""
    match point.load:
        case ClosedLoop():
            return replay_closed_loop(
                point.serving, point.load, kv_tokens=kv_tokens_of(point.serving, point.load.limits)
            )
        case Burst():
            return replay_burst(point.serving, point.load, kv_tokens=kv_tokens_of(point.serving, point.load.limits))
        case SteadyDecode():
            return replay_steady_decode(point.serving, point.load)
        case LonePrompt():
            return replay_lone_prompt(point.serving, point.load)
        case OpenLoop():
            return None


def predict(point: Point, played: Replay | None, times: ServingTimes) -> Prediction:
    """Predict a point's times.

    Saturated means that the times hang on something that is not known: requests wait for KV blocks and the pool's size
    is derived; they were measured to wait for something that is not modelled; or more come than can be served.

    Args:
        played: `replay(point)`.
    """
    if isinstance(point.load, OpenLoop):
        return _predict_open_loop(point.serving, point.load, times)
    if played is None:
        raise ValueError(f"{point.id}: not replayed")
    tpot_s = seconds(played.tpot, times.step) if played.tpot else None
    ttft_s = None
    if played.ttft:
        ttft_s = seconds(played.ttft, times.step) + times.request_s + times.lag_steps * (tpot_s or 0.0)
    overlong = point.ttft_s is not None and point.ttft_s > _OVERLONG * _all_prompts_s(point, times) + _OVERLONG_S
    return Prediction(ttft_s=ttft_s, tpot_s=tpot_s, saturated=played.kv_full or overlong)


def _all_prompts_s(point: Point, times: ServingTimes) -> float:
    """How long the prompts of all users take, one after another."""
    load = point.load
    if not isinstance(load, ClosedLoop):
        return float("inf")
    lone = replay_lone_prompt(point.serving, LonePrompt(isl=load.isl, limits=load.limits))
    return load.users * seconds(lone.ttft, times.step) if lone.ttft else 0.0


def _predict_open_loop(serving: Serving, load: OpenLoop, times: ServingTimes) -> Prediction:
    kv_tokens = kv_tokens_of(serving, load.limits)
    played = play_open_loop(serving, load, times.step_time(serving), kv_tokens=kv_tokens)
    ttft_s = sum(played.ttft_s) / len(played.ttft_s)
    several = [tpot for tpot, (_at, _isl, osl) in zip(played.tpot_s, load.arrivals, strict=True) if osl > 1]
    tpot_s = sum(several) / len(several) if several else None
    if not load.at_engine:
        ttft_s += times.request_s + times.lag_steps * (tpot_s or 0.0)
    at_once = load.arrivals[0][0] == load.arrivals[-1][0] and len(load.arrivals) > 1
    return Prediction(ttft_s=ttft_s, tpot_s=tpot_s, saturated=at_once)
