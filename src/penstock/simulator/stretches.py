"""A workload cut into stretches of whole windows, each with what comes shortly before and after it.

Windows far apart hardly know of each other: what one leaves behind is its queue, and what caches hold. So a question
about single windows is answered stretch by stretch, on as many cores as there are, after a warm-up; only where prompts
share prefixes, caches take longer to fill. Memory holds a stretch at a time, not the workload.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

from penstock.workload.arrival import Arrival
from penstock.workload.window import window

STRETCH_S, WARM_UP_S = 1800.0, 300.0
SHARED_STRETCH_S, SHARED_WARM_UP_S = 3600.0, 1800.0  # where prompts share prefixes
_AT = attrgetter("arrival_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Windows `first` to `first + len(tokens) - 1`.

    Args:
        arrivals: from the warm-up before the first until one window after the last; their times are the workload's.
        tokens: of the requests that come in each window, prompt and output; 0: none comes.
        warm_up: windows before one that is judged, where there are so many.
    """

    first: int
    window_s: float
    warm_up: int
    arrivals: list[Arrival]
    tokens: list[int]

    def part(self, first: int, last: int) -> tuple[Iterator[Arrival], int]:
        """What it takes to judge windows `first` to `last`. Returns: arrivals from 0 s on, and which window that is."""
        begins = max(0, first - self.warm_up)
        start_s, end_s = begins * self.window_s, (last + 2) * self.window_s
        place = bisect_left(self.arrivals, start_s, key=_AT)
        return window(self.arrivals[place:], start_s=start_s, duration_s=end_s - start_s), begins


def stretches(arrivals: Iterable[Arrival], window_s: float) -> Iterator[Stretch]:
    """Cut it up, reading it once."""
    coming = iter(arrivals)
    opening = next(coming, None)
    if opening is None:
        return
    shared = bool(opening.prefix_blocks)
    length = max(1, round((SHARED_STRETCH_S if shared else STRETCH_S) / window_s))
    warm_up = max(2, round((SHARED_WARM_UP_S if shared else WARM_UP_S) / window_s))
    held: list[Arrival] = []
    first = 0
    for arrival in chain((opening,), coming):
        while arrival.arrival_s >= (first + length + 1) * window_s:
            yield _stretch(held, first, length, window_s, warm_up)
            first += length
            held = held[bisect_left(held, (first - warm_up) * window_s, key=_AT) :]
        held.append(arrival)
    while held and held[-1].arrival_s >= first * window_s:
        last = int(held[-1].arrival_s // window_s)
        yield _stretch(held, first, min(length, last - first + 1), window_s, warm_up)
        first += length


def _stretch(held: list[Arrival], first: int, length: int, window_s: float, warm_up: int) -> Stretch:
    tokens = [0] * length
    for arrival in held:
        place = int(arrival.arrival_s // window_s) - first
        if 0 <= place < length:
            tokens[place] += arrival.input_tokens + arrival.output_tokens
    return Stretch(first=first, window_s=window_s, warm_up=warm_up, arrivals=list(held), tokens=tokens)
