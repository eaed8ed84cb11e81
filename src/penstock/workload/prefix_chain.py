"""Ids of prefix blocks, made to name a block together with all before it, which is what a prefix cache goes by.

Ids of Mooncake's traces do so already. A file of ours may have been written with ids of text alone, so that one block
stands after different prefixes; there each id that comes after another prefix than at first gets a new name, made of
both. Ids that chain are left as they are: a file that is right is read as it stands.

Knows the ids that came last, so memory is bounded: a block that comes again after `most` others counts as new, and no
cache would still hold it.
"""

from collections import deque
from collections.abc import Iterable

import xxhash

MOST = 500_000  # ids remembered, about 60 MB


class PrefixChain:
    """Renames blocks as they come."""

    def __init__(self, most: int = MOST) -> None:
        self._before: dict[int, int] = {}  # id: the id before it at first, -1 at the start
        self._order: deque[tuple[int, ...]] = deque()  # the ids as they came, those of one prompt together
        self._most = most

    def chained(self, blocks: tuple[int, ...]) -> tuple[int, ...]:
        """The blocks of one prompt, so that equal ids have equal ids before them."""
        if not blocks:
            return blocks
        known = self._before
        found = list(map(known.get, blocks))
        old = found.index(None) if found[-1] is None else len(blocks)
        before = (-1, *blocks[:-1])
        if found[:old] == list(before[:old]) and found.count(None) == len(blocks) - old:
            new = blocks[old:]
            size = len(known) + len(new)
            known.update(zip(new, before[old:], strict=True))
            if len(known) == size:  # no id twice
                if new:
                    self._remember(new)
                return blocks
            for block in set(new):
                del known[block]
        return self._renamed(blocks)

    def _renamed(self, blocks: tuple[int, ...]) -> tuple[int, ...]:
        """The same, block by block: some stand after others than at first."""
        known, new = self._before, []
        before, renamed = -1, list(blocks)
        for place, block in enumerate(blocks):
            if block not in known:
                known[block] = before
                new.append(block)
            elif known[block] != before:
                block = renamed[place] = _name(before, block)
                if block not in known:
                    known[block] = before
                    new.append(block)
            before = block
        self._remember(new)
        return tuple(renamed)

    def _remember(self, new: Iterable[int]) -> None:
        """Note the order in which ids came, and forget the oldest beyond `most`."""
        order, known = self._order, self._before
        order.append(tuple(new))
        excess = len(known) - self._most
        while excess > 0:
            oldest = order.popleft()
            for block in oldest[:excess]:
                del known[block]
            if len(oldest) > excess:
                order.appendleft(oldest[excess:])
            excess -= len(oldest)


def _name(before: int, block: int) -> int:
    """63 bits of both."""
    return xxhash.xxh3_64_intdigest(block.to_bytes(8, "little"), before & (2**64 - 1)) >> 1
