"""Requests that are drawn: they come at a pace, with lengths, shared system prompts, and conversations that grow.

A conversation's next prompt is all that was said (prompts and answers) and something new; its blocks keep their ids,
so an engine that kept them has all but the new. Turns come a while after one another, whatever the server did: an
open loop. Memory grows with the conversations that are open at a time, not with the workload.
"""

import heapq
import math
import random
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, count

from penstock.workload.arrival import MAX_TOKENS, Arrival
from penstock.workload.lengths import Lengths
from penstock.workload.pace import instants
from penstock.workload.workload_spec import GenerateSpec, SessionsSpec, SystemPromptsSpec

_IDS_EACH = 1 << 24  # block ids set apart for each system prompt and each conversation: more than MAX_TOKENS
_ALONE = SessionsSpec(turns=1, max_context_tokens=MAX_TOKENS)


@dataclass(slots=True)
class _Conversation:
    number: int
    system: int  # which system prompt
    history_tokens: int
    turns_left: int


def synthesize(
    spec: GenerateSpec, lengths: Lengths, draw: random.Random, numbers: Iterator[int] | None = None
) -> Iterator[Arrival]:
    """Yield the requests in order of time. The same draws give the same workload.

    Args:
        numbers: of conversations, each once: equal numbers have equal text.
    """
    maker = _Maker(spec, lengths, draw)
    waiting: list[tuple[float, int, _Conversation]] = []  # next turns, by time; the number breaks ties
    for start_s, number in zip(maker.starts(), numbers or count(), strict=False):
        while waiting and waiting[0][0] <= start_s:
            yield from maker.turn(waiting)
        heapq.heappush(waiting, (start_s, number, maker.conversation(number)))
    while waiting:
        yield from maker.turn(waiting)


class _Maker:
    """Draws conversations and their turns; a request that stands alone is one of a single turn."""

    def __init__(self, spec: GenerateSpec, lengths: Lengths, draw: random.Random) -> None:
        self._spec = spec
        self._lengths = lengths
        self._draw = draw
        self._paces = random.Random(draw.getrandbits(64))  # a stream of its own: lengths do not move instants
        self._sessions = spec.sessions or _ALONE
        systems = spec.system_prompts
        self._systems = systems.count if systems is not None else 0
        self._system_tokens = systems.tokens if systems is not None else 0
        self._choose_system = _chooser(systems, draw)

    def starts(self) -> Iterator[float]:
        """When conversations begin: each instant of the pace with probability 1/turns, so the pace counts requests."""
        turns = self._sessions.turns
        for at_s in instants(self._spec.rate, self._spec.duration_s, self._paces):
            if turns == 1 or self._draw.random() * turns < 1:
                yield at_s

    def conversation(self, number: int) -> _Conversation:
        return _Conversation(
            number, self._choose_system(), self._system_tokens, _geometric(self._sessions.turns, self._draw)
        )

    def turn(self, waiting: list[tuple[float, int, _Conversation]]) -> Iterator[Arrival]:
        """Yield the next turn that is due, if there is room for it; put its conversation back if it goes on."""
        at_s, number, conversation = heapq.heappop(waiting)
        new_tokens, output_tokens = self._lengths()
        input_tokens = conversation.history_tokens + new_tokens
        room = self._sessions.max_context_tokens
        if input_tokens + output_tokens > room:
            if conversation.history_tokens > self._system_tokens:
                return  # it has been going on: it ends here
            input_tokens = min(input_tokens, room - 1)
            output_tokens = min(output_tokens, room - input_tokens)
        yield Arrival(at_s, input_tokens, output_tokens, self._blocks(conversation, input_tokens), self._block_tokens)
        conversation.history_tokens = input_tokens + output_tokens
        conversation.turns_left -= 1
        if not conversation.turns_left:
            return
        think_s = self._sessions.think_s
        next_s = at_s + (self._draw.expovariate(1 / think_s) if think_s else 0.0)
        if next_s < self._spec.duration_s:
            heapq.heappush(waiting, (next_s, number, conversation))

    @property
    def _block_tokens(self) -> int:
        return self._spec.block_tokens

    def _blocks(self, conversation: _Conversation, input_tokens: int) -> tuple[int, ...]:
        """Blocks of the system prompt, as far as it fills them, then of the conversation, if there is to be one."""
        shared = self._system_tokens // self._block_tokens
        first = conversation.system * _IDS_EACH
        blocks = tuple(range(first, first + shared))
        if self._sessions.turns == 1:
            return blocks
        own = (self._systems + conversation.number) * _IDS_EACH
        return blocks + tuple(range(own + shared, own - (-input_tokens // self._block_tokens)))


def _chooser(systems: SystemPromptsSpec | None, draw: random.Random) -> Callable[[], int]:
    """Draws which system prompt a conversation has."""
    if systems is None or systems.count == 1:
        return lambda: 0
    if not systems.skew:
        return lambda: draw.randrange(systems.count)
    shares = list(accumulate((place + 1) ** -systems.skew for place in range(systems.count)))
    return lambda: bisect(shares, draw.random() * shares[-1])


def _geometric(mean: float, draw: random.Random) -> int:
    """At least 1, with that mean."""
    if mean == 1:
        return 1
    return 1 + int(math.log(1 - draw.random()) / math.log(1 - 1 / mean))
