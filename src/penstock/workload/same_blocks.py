"""Prefix blocks of one size: caches and routers name blocks, and names of blocks of two sizes don't mix."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from penstock.errors import InputError
from penstock.workload.arrival import Arrival

LOOK_AHEAD = 1000  # requests among which the first one with blocks tells their size


def same_blocks(arrivals: Iterator[Arrival], head: Sequence[Arrival], *, name: str) -> Iterator[Arrival]:
    """Yield them all, the first with the size of block that those have which name any.

    Args:
        head: the first arrivals, at least one, once more.
    Raises: InputError, where the size changes.
    """
    tokens = next((arrival.block_tokens for arrival in head if arrival.prefix_blocks), None)
    if tokens is None:
        return arrivals if len(head) < LOOK_AHEAD else _checked(arrivals, head[0].block_tokens, name)
    next(arrivals)
    return _checked(chain((replace(head[0], block_tokens=tokens),), arrivals), tokens, name)


def _checked(arrivals: Iterator[Arrival], tokens: int, name: str) -> Iterator[Arrival]:
    for arrival in arrivals:
        if arrival.prefix_blocks and arrival.block_tokens != tokens:
            raise InputError(
                name,
                f"its prefix blocks have {arrival.block_tokens} tokens at {arrival.arrival_s:g} s and {tokens} before",
                "give one size",
            )
        yield arrival
