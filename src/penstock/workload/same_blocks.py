"""Prefix blocks of one size: caches and routers name blocks, and names of blocks of two sizes don't mix."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from penstock.errors import InputError
from penstock.workload.arrival import Arrival

LOOK_AHEAD = 1000  # requests among which the first one with blocks tells their size


def same_blocks(arrivals: Iterator[Arrival], *, name: str) -> Iterator[Arrival]:
    """Yield them all, the first with the size of block that those have which name any. Reads ahead at once.

    Raises: InputError, where the size changes, and what reading raises once all before it was yielded.
    """
    head: list[Arrival] = []
    try:
        for arrival in arrivals:
            head.append(arrival)
            if len(head) == LOOK_AHEAD:
                break
    except InputError as error:
        arrivals = _broken(error)
    if not head:
        return arrivals
    tokens = next((arrival.block_tokens for arrival in head if arrival.prefix_blocks), head[0].block_tokens)
    if tokens != head[0].block_tokens:
        head[0] = replace(head[0], block_tokens=tokens)
    return _checked(chain(head, arrivals), tokens, name)


def _broken(error: InputError) -> Iterator[Arrival]:
    """Raises: it, when it is read."""
    for fault in (error,):
        raise fault
    yield from ()


def _checked(arrivals: Iterator[Arrival], tokens: int, name: str) -> Iterator[Arrival]:
    for arrival in arrivals:
        if arrival.prefix_blocks and arrival.block_tokens != tokens:
            raise InputError(
                name,
                f"its prefix blocks have {arrival.block_tokens} tokens at {arrival.arrival_s:g} s and {tokens} before",
                "give one size",
            )
        yield arrival
