"""A stretch of a workload, replayed faster or slower. `start_s` and `duration_s` are seconds of the trace, before
`speed`.

At speed 2 a stretch of 600 s takes 300 s and its rate doubles; lengths stay as they are.
"""

import math
from collections.abc import Iterable, Iterator

from penstock.errors import InputError
from penstock.workload.arrival import Arrival


def window(
    arrivals: Iterable[Arrival], *, start_s: float = 0.0, duration_s: float | None = None, speed: float = 1.0
) -> Iterator[Arrival]:
    """Yield the arrivals of [start_s, start_s + duration_s), their time counted from start_s and divided by speed.

    Reads no further than the stretch. Raises: InputError, at once, if a figure makes no sense.
    """
    if not 0 <= start_s < math.inf:
        raise InputError("--start-s", f"is {start_s:g}", "give a number of seconds from 0 on")
    if duration_s is not None and not 0 < duration_s < math.inf:
        raise InputError("--duration-s", f"is {duration_s:g}", "give a number of seconds above 0")
    if not 0 < speed < math.inf:
        raise InputError("--speed", f"is {speed:g}", "give a number above 0")
    if start_s == 0 and duration_s is None and speed == 1:
        return iter(arrivals)
    return _stretch(arrivals, start_s, math.inf if duration_s is None else start_s + duration_s, speed)


def _stretch(arrivals: Iterable[Arrival], start_s: float, end_s: float, speed: float) -> Iterator[Arrival]:
    as_it_is = start_s == 0 and speed == 1
    for arrival in arrivals:
        if arrival.arrival_s < start_s:
            continue
        if arrival.arrival_s >= end_s:
            return
        if as_it_is:
            yield arrival
            continue
        yield Arrival(
            (arrival.arrival_s - start_s) / speed,
            arrival.input_tokens,
            arrival.output_tokens,
            arrival.prefix_blocks,
            arrival.block_tokens,
        )
