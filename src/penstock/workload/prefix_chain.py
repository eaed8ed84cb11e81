"""Ids of prefix blocks, made to name a block together with all before it, which is what a prefix cache goes by.

Ids of Mooncake's traces do so already. A file of ours may have been written with ids of text alone, so that one block
stands after different prefixes; there each id that comes after another prefix than at first gets a new name, made of
both. Ids that chain are left as they are: a file that is right is read as it stands.

Knows the ids that came last, so memory is bounded: a block that comes again after `most` others counts as new, and no
cache would still hold it.
"""

from collections import OrderedDict

import xxhash

MOST = 500_000  # ids remembered, about 100 MB


class PrefixChain:
    """Renames blocks as they come."""

    def __init__(self, most: int = MOST) -> None:
        self._before: OrderedDict[int, int] = OrderedDict()  # id: the id before it at first, -1 at the start
        self._most = most

    def chained(self, blocks: tuple[int, ...]) -> tuple[int, ...]:
        """The blocks of one prompt, so that equal ids have equal ids before them."""
        known = self._before
        before, renamed = -1, None
        for place, block in enumerate(blocks):
            if known.setdefault(block, before) != before:
                if renamed is None:
                    renamed = list(blocks)
                block = renamed[place] = _name(before, block)
                known.setdefault(block, before)
            before = block
        while len(known) > self._most:
            known.popitem(last=False)
        return blocks if renamed is None else tuple(renamed)


def _name(before: int, block: int) -> int:
    """63 bits of both."""
    return xxhash.xxh3_64_intdigest(block.to_bytes(8, "little"), before & (2**64 - 1)) >> 1
