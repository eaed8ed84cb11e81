"""A workload's tree, played: parts cut, sped up, thinned, stretched, repeated, one after another or over one another.

Everything streams. Each leaf draws from a seed that is made of the workload's own, the run's and its place in the
tree, so that one part does not move another. Where there are several leaves, the block ids of each file and of each
generator are hashed into a space of their own: equal ids of different files do not mean equal text.
"""

import heapq
import random
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import count

import xxhash

from penstock.workload.arrival import MAX_TOKENS, Arrival
from penstock.workload.lengths import empirical_lengths, lognormal_lengths
from penstock.workload.synthesize import synthesize
from penstock.workload.window import window
from penstock.workload.workload_spec import GenerateSpec, PartSpec, WorkloadBody

OpenTrace = Callable[[str], Iterator[Arrival]]
"""Opens a trace that a workload names, from its start."""

Play = Generator[Arrival, None, float]
"""Yields requests in order of time, from 0 s on; returns how many seconds they take together."""


def compose(spec: WorkloadBody, *, seed: int, open_trace: OpenTrace) -> Iterator[Arrival]:
    """Yield its requests in order of time. Raises: InputError, at the first bad line of a trace in it."""
    several = _leaves(spec) > 1
    player = _Player(seed=f"{spec.seed}/{seed}", open_trace=open_trace, apart=several, numbers={})
    yield from player.part(spec, "spec", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Player:
    """Plays parts. `place` names a part in the tree as the file does; `turn` counts how often it was played before.

    Args:
        apart: whether block ids of different leaves must be told apart.
        numbers: of the conversations of each generator, by place.
    """

    seed: str
    open_trace: OpenTrace
    apart: bool
    numbers: dict[str, Iterator[int]]

    def part(self, part: PartSpec, place: str, turn: int) -> Play:
        begin_s = part.delay_s
        for number in range(part.repeat):
            play = self._once(part, place, turn * part.repeat + number)
            begin_s += yield from _later(play, begin_s)
        return begin_s

    def _once(self, part: PartSpec, place: str, turn: int) -> Play:
        lasted = _Lasted(self._content(part, place, turn))
        cut = window(lasted, start_s=part.start_s, duration_s=part.duration_s, speed=part.speed)
        yield from self._changed(cut, part, place, turn)
        if part.duration_s is not None:
            return part.duration_s / part.speed
        return max(0.0, lasted.seconds - part.start_s) / part.speed

    def _content(self, part: PartSpec, place: str, turn: int) -> Play:
        if part.generate is not None:
            return self._generated(part.generate, f"{place}.generate", turn)
        if part.trace is not None:
            return _to_last(self._apart(self.open_trace(part.trace), part.trace))
        if part.phases:
            return self._phases(part.phases, f"{place}.phases", turn)
        return self._overlay(part.overlay, f"{place}.overlay", turn)

    def _generated(self, spec: GenerateSpec, place: str, turn: int) -> Play:
        draw = self._draw(place, turn)
        if spec.lengths_from is None:
            lengths = lognormal_lengths(spec.input, spec.output, draw)
        else:
            lengths = empirical_lengths(self.open_trace(spec.lengths_from), draw)
        numbers = self.numbers.setdefault(place, count())  # go on when it repeats: new talk, the same system prompts
        yield from self._apart(synthesize(spec, lengths, draw, numbers), place)
        return spec.duration_s

    def _phases(self, parts: tuple[PartSpec, ...], place: str, turn: int) -> Play:
        begin_s = 0.0
        for number, part in enumerate(parts):
            begin_s += yield from _later(self.part(part, f"{place}[{number}]", turn), begin_s)
        return begin_s

    def _overlay(self, parts: tuple[PartSpec, ...], place: str, turn: int) -> Play:
        plays = [_Lasted(self.part(part, f"{place}[{number}]", turn)) for number, part in enumerate(parts)]
        yield from heapq.merge(*plays, key=lambda arrival: arrival.arrival_s)
        return max(play.seconds for play in plays)

    def _changed(self, arrivals: Iterator[Arrival], part: PartSpec, place: str, turn: int) -> Iterator[Arrival]:
        if part.share < 1:
            draw = self._draw(f"{place}.share", turn)
            arrivals = (arrival for arrival in arrivals if draw.random() < part.share)
        if part.input_times != 1 or part.output_times != 1:
            return (_stretched(arrival, part.input_times, part.output_times) for arrival in arrivals)
        return arrivals

    def _apart(self, arrivals: Iterator[Arrival], space: str) -> Iterator[Arrival]:
        if not self.apart:
            return arrivals
        salt = xxhash.xxh3_64_intdigest(space.encode())
        return (_in_space(arrival, salt) if arrival.prefix_blocks else arrival for arrival in arrivals)

    def _draw(self, place: str, turn: int) -> random.Random:
        return random.Random(f"{self.seed}/{place}/{turn}")


class _Lasted:
    """Iterates a play and keeps how long it took."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Arrival]:
        self.seconds = yield from self._play


def _later(play: Play, by_s: float) -> Play:
    lasted = _Lasted(play)
    for arrival in lasted:
        yield _at(arrival, arrival.arrival_s + by_s) if by_s else arrival
    return lasted.seconds


def _to_last(arrivals: Iterable[Arrival]) -> Play:
    last_s = 0.0
    for arrival in arrivals:
        last_s = arrival.arrival_s
        yield arrival
    return last_s


def _at(arrival: Arrival, at_s: float) -> Arrival:
    return Arrival(at_s, arrival.input_tokens, arrival.output_tokens, arrival.prefix_blocks, arrival.block_tokens)


def _stretched(arrival: Arrival, input_times: float, output_times: float) -> Arrival:
    input_tokens = _times(arrival.input_tokens, input_times)
    blocks = arrival.prefix_blocks[: -(-input_tokens // arrival.block_tokens)]
    if input_tokens > arrival.input_tokens and arrival.input_tokens % arrival.block_tokens:
        # The last block was the beginning of a text; what follows is this request's own.
        blocks = blocks[: arrival.input_tokens // arrival.block_tokens]
    return Arrival(
        arrival.arrival_s, input_tokens, _times(arrival.output_tokens, output_times), blocks, arrival.block_tokens
    )


def _times(tokens: int, times: float) -> int:
    return min(max(1, round(tokens * times)), MAX_TOKENS)


def _in_space(arrival: Arrival, salt: int) -> Arrival:
    digest = xxhash.xxh3_64_intdigest
    blocks = tuple(digest(block.to_bytes(8, "little"), salt) >> 1 for block in arrival.prefix_blocks)
    return Arrival(arrival.arrival_s, arrival.input_tokens, arrival.output_tokens, blocks, arrival.block_tokens)


def _leaves(part: PartSpec) -> int:
    if part.phases or part.overlay:
        return sum(_leaves(below) for below in (*part.phases, *part.overlay))
    return 1
