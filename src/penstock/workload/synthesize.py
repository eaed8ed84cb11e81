"""Made workloads: requests that come at a pace, with lengths, shared system prompts, and conversations that grow.

Lengths are log-normal by mean and coefficient of variation, as prompts of production traces roughly are. A
conversation's next prompt is all that was said (prompts and answers) and something new; its blocks keep their ids, so
an engine that kept them has all but the new. Turns come a while after one another, whatever the server did: an open
loop. Memory grows with the conversations that are open at a time, not with the workload.
"""

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.errors import InputError
from penstock.workload.arrival import BLOCK_TOKENS, MAX_TOKENS, Arrival
from penstock.workload.pace import Pace, instants

_IDS_EACH = 1 << 24  # block ids set apart for each system prompt and each conversation: more than MAX_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthLaw:
    """Log-normal lengths in tokens, cut at 1 and `most`. Raises: InputError."""

    flag: str
    mean: float
    cv: float = 1.0
    most: int = 32_768

    def __post_init__(self) -> None:
        if not 1 <= self.mean <= self.most <= MAX_TOKENS:
            raise InputError(self.flag, f"is {self.mean:g}", f"give a mean from 1 to --max-tokens ({self.most})")
        if not 0 <= self.cv <= 10:
            raise InputError(f"{self.flag}-cv", f"is {self.cv:g}", "give a number from 0 to 10")

    def draw(self, draw: random.Random) -> int:
        """One length."""
        spread = math.log1p(self.cv**2)
        value = draw.lognormvariate(math.log(self.mean) - spread / 2, math.sqrt(spread))
        return min(max(round(value), 1), self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to make.

    Args:
        pace: of requests; conversations begin at 1/turns of it.
        new_tokens, output_tokens: of each request, without system prompt and history.
        system_prompts, system_tokens: how many different ones, each equally often, and how long.
        turns: mean turns of a conversation (geometric); 1 for single requests. think_s: mean time between turns.
        max_context_tokens: a conversation that would grow beyond it ends.
    Raises: InputError, if a figure makes no sense.
    """

    pace: Pace
    new_tokens: LengthLaw
    output_tokens: LengthLaw
    system_prompts: int = 0
    system_tokens: int = 0
    turns: float = 1.0
    think_s: float = 30.0
    max_context_tokens: int = 32_768
    block_tokens: int = BLOCK_TOKENS

    def __post_init__(self) -> None:
        for flag, value, least, most in (
            ("--system-prompts", self.system_prompts, 0, 1_000_000),
            ("--system-tokens", self.system_tokens, 0, MAX_TOKENS),
            ("--turns", self.turns, 1, 10_000),
            ("--think-s", self.think_s, 0, 86_400),
            ("--max-context", self.max_context_tokens, 1, MAX_TOKENS),
            ("--block-tokens", self.block_tokens, 1, 65_536),
        ):
            if not least <= value <= most:
                raise InputError(flag, f"is {value:g}", f"give a number from {least} to {most}")
        if bool(self.system_prompts) != bool(self.system_tokens):
            raise InputError("--system-prompts", "goes with --system-tokens", "give both or neither")
        if self.system_tokens + 1 > self.max_context_tokens:
            raise InputError(
                "--system-tokens", f"is {self.system_tokens}", f"leave room in --max-context {self.max_context_tokens}"
            )


@dataclass(slots=True)
class _Conversation:
    number: int
    system: int  # which system prompt
    history_tokens: int
    turns_left: int


def synthesize(recipe: Recipe, *, seed: int) -> Iterator[Arrival]:
    """Yield the requests in order of time. The same seed gives the same workload."""
    draw = random.Random(seed)
    waiting: list[tuple[float, int, _Conversation]] = []  # next turns, by time; the number breaks ties
    for number, start_s in enumerate(_starts(recipe, draw)):
        while waiting and waiting[0][0] <= start_s:
            yield from _turn(recipe, waiting, draw)
        system = draw.randrange(recipe.system_prompts) if recipe.system_prompts else 0
        turns = _geometric(recipe.turns, draw)
        conversation = _Conversation(number, system, recipe.system_tokens, turns)
        heapq.heappush(waiting, (start_s, number, conversation))
    while waiting:
        yield from _turn(recipe, waiting, draw)


def _starts(recipe: Recipe, draw: random.Random) -> Iterator[float]:
    """When conversations begin: each instant of the pace with probability 1/turns, so the pace counts requests."""
    for at_s in instants(recipe.pace, draw):
        if recipe.turns == 1 or draw.random() * recipe.turns < 1:
            yield at_s


def _turn(recipe: Recipe, waiting: list[tuple[float, int, _Conversation]], draw: random.Random) -> Iterator[Arrival]:
    """Yield the next turn that is due, if there is room for it, and put its conversation back if it goes on."""
    at_s, number, conversation = heapq.heappop(waiting)
    input_tokens = conversation.history_tokens + recipe.new_tokens.draw(draw)
    output_tokens = recipe.output_tokens.draw(draw)
    if input_tokens + output_tokens > recipe.max_context_tokens:
        if conversation.history_tokens > recipe.system_tokens:
            return  # it has been going on: it ends here
        input_tokens = min(input_tokens, recipe.max_context_tokens - 1)
        output_tokens = min(output_tokens, recipe.max_context_tokens - input_tokens)
    yield Arrival(at_s, input_tokens, output_tokens, _blocks(recipe, conversation, input_tokens), recipe.block_tokens)
    conversation.history_tokens = input_tokens + output_tokens
    conversation.turns_left -= 1
    next_s = at_s + (draw.expovariate(1 / recipe.think_s) if recipe.think_s else 0.0)
    if conversation.turns_left and next_s < recipe.pace.duration_s:
        heapq.heappush(waiting, (next_s, number, conversation))


def _blocks(recipe: Recipe, conversation: _Conversation, input_tokens: int) -> tuple[int, ...]:
    """Blocks of the system prompt, as far as it fills them, then of the conversation, if there is to be one."""
    shared = recipe.system_tokens // recipe.block_tokens
    first = conversation.system * _IDS_EACH
    blocks = tuple(range(first, first + shared))
    if recipe.turns == 1:
        return blocks
    own = (recipe.system_prompts + conversation.number) * _IDS_EACH
    return blocks + tuple(range(own + shared, own - (-input_tokens // recipe.block_tokens)))


def _geometric(mean: float, draw: random.Random) -> int:
    """At least 1, with that mean."""
    if mean == 1:
        return 1
    return 1 + int(math.log(1 - draw.random()) / math.log(1 - 1 / mean))
