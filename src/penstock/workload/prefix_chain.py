"""Ids of prefix blocks, made to name a block together with all before it, which is what a prefix cache goes by.

Ids of Mooncake's traces do so already. A file of ours may have been written with ids of text alone, so that one block
stands after different prefixes; there each id that comes after another prefix than at first gets a new name, made of
both. Ids that chain are left as they are: a file that is right is read as it stands.

Knows the ids that came last, so memory is bounded: a block that comes again after `most` others may count as new, and
no cache would still hold it.
"""

import xxhash

MOST = 500_000  # ids remembered, about 60 MB


class PrefixChain:
    """Renames blocks as they come. Forgets a generation of ids at once: one by one takes as long as all else."""

    def __init__(self, most: int = MOST) -> None:
        self._before: dict[int, int] = {}  # id: the id before it at first, -1 at the start
        self._older: dict[int, int] = {}  # the same of the generation before; forgotten next
        self._of_generation = most // 2

    def chained(self, blocks: tuple[int, ...]) -> tuple[int, ...]:
        """The blocks of one prompt, so that equal ids have equal ids before them."""
        if not blocks:
            return blocks
        if len(self._before) + len(blocks) > self._of_generation and self._before:
            self._older, self._before = self._before, {}
        known = self._before
        found = list(map(known.get, blocks))
        if None in found and self._older:
            self._recall(blocks[found.index(None) :])
            found = list(map(known.get, blocks))
        old = found.index(None) if found[-1] is None else len(blocks)
        before = (-1, *blocks[:-1])
        if found[:old] == list(before[:old]) and found.count(None) == len(blocks) - old:
            new = blocks[old:]
            size = len(known) + len(new)
            known.update(zip(new, before[old:], strict=True))
            if len(known) == size:  # no id twice
                return blocks
            for block in set(new):
                del known[block]
        return self._renamed(blocks)

    def _recall(self, blocks: tuple[int, ...]) -> None:
        """What the older generation knows of these, this one knows too."""
        older = self._older
        for block in older.keys() & blocks:
            self._before.setdefault(block, older[block])

    def _renamed(self, blocks: tuple[int, ...]) -> tuple[int, ...]:
        """The same, block by block: some stand after others than at first."""
        known = self._before
        before, renamed = -1, list(blocks)
        for place, block in enumerate(blocks):
            if known.setdefault(block, before) != before:
                block = renamed[place] = _name(before, block)
                if block not in known:
                    known[block] = self._older.get(block, before)
            before = block
        return tuple(renamed)


def _name(before: int, block: int) -> int:
    """63 bits of both."""
    return xxhash.xxh3_64_intdigest(block.to_bytes(8, "little"), before & (2**64 - 1)) >> 1
