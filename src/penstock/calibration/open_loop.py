"""Requests at given instants, through the engine core on its clock: here the steps depend on how long they take."""

from dataclasses import dataclass

from penstock.calibration.closed_loop import engine_config
from penstock.calibration.points import OpenLoop
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest
from penstock.engine.timeline import Timeline
from penstock.hardware.serving import Serving
from penstock.hardware.steptime import TICKS_PER_S, StepTime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoopTimes:
    """Of each request, in order of arrival. `tpot_s`: 0 for a request of one token."""

    ttft_s: tuple[float, ...]
    tpot_s: tuple[float, ...]


def play_open_loop(serving: Serving, load: OpenLoop, step_time: StepTime, *, kv_tokens: int) -> OpenLoopTimes:
    """Play all arrivals to their end."""
    longest = max(isl + osl for _at, isl, osl in load.arrivals)
    config = engine_config(serving, load.limits, kv_tokens=kv_tokens, at_least=longest)
    timeline = Timeline(Engine(config), step_time)
    count = len(load.arrivals)
    sent = [round(at * TICKS_PER_S) for at, _isl, _osl in load.arrivals]
    first, last = [0] * count, [0] * count

    def advance(to: int) -> None:
        for moment in timeline.advance(to):
            for number in moment.progress.first_tokens:
                first[number] = moment.at
            for number in moment.progress.finished:
                last[number] = moment.at

    for number, (_at, isl, osl) in enumerate(load.arrivals):
        advance(sent[number])
        timeline.add(sent[number], EngineRequest(number, isl, osl))
    while (end := timeline.next_event()) is not None:
        advance(end)
    return OpenLoopTimes(
        ttft_s=tuple((first[number] - sent[number]) / TICKS_PER_S for number in range(count)),
        tpot_s=tuple(
            (last[number] - first[number]) / TICKS_PER_S / max(1, osl - 1)
            for number, (_at, _isl, osl) in enumerate(load.arrivals)
        ),
    )
