"""Which worker holds which KV blocks: one dict from block hash to a bit mask of workers.

A block's hash covers all tokens before it, so a prompt's hit on every worker is one walk along its hashes with AND:
the cost is that of the pages hit, not of the workers.

Two kinds of entries. *Confirmed*: the worker published it. *Expected*: a prompt was sent there and will soon be
cached; it counts as a hit at once (the worker takes requests in order, so the prompt ahead is computed first), and is
withdrawn if the prompt fails or no event confirms it in time. A worker without KV events has only expected entries,
kept in order of use: a guess at its LRU.

Bounds: a worker never has more than `limit` blocks here; beyond it, those that were stored or used longest ago go
first. Forgetting a worker is O(1): it gets another bit, and its old entries are cleaned up a few with each later
change.

It doesn't know time, or whether a hit is worth anything.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from penstock.errors import UnknownWorker

CLEAN_PER_CHANGE = 64  # dead entries cleaned with each change, at least: about 10 µs


class _Held:
    """What one worker holds: its bit, and hash -> confirmed, oldest first."""

    __slots__ = ("bit", "blocks", "limit", "publishes")

    def __init__(self, bit: int, limit: int, publishes: bool) -> None:
        self.bit = bit
        self.blocks: dict[int, bool] = {}
        self.limit = limit
        self.publishes = publishes


class PrefixIndex:
    """Blocks to workers. Changed only by its methods; unknown workers, unknown blocks and repeats are harmless."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._held: dict[str, _Held] = {}
        self._free_bits: list[int] = []
        self._num_bits = 0
        self._live = 0
        self._dead: deque[tuple[int, dict[int, bool]]] = deque()

    def __len__(self) -> int:
        """Entries in memory, those not yet cleaned up included."""
        return len(self._masks)

    def add(self, worker: str, *, limit: int, publishes: bool = True) -> None:
        """Register a worker that holds nothing yet. Adding it again keeps what is known."""
        if worker not in self._held:
            self._held[worker] = _Held(self._take_bit(), limit, publishes)

    def drop(self, worker: str) -> None:
        """Unregister a worker, in O(1)."""
        held = self._held.pop(worker, None)
        if held is not None:
            self._bury(held)

    def forget(self, worker: str) -> None:
        """Nothing is known of this worker's cache any more, in O(1)."""
        held = self._held.get(worker)
        if held is not None and held.blocks:
            self._bury(held)
            held.bit, held.blocks = self._take_bit(), {}

    def bit(self, worker: str) -> int:
        """The worker's bit in masks, until it is forgotten. Raises: UnknownWorker."""
        held = self._held.get(worker)
        if held is None:
            raise UnknownWorker(worker)
        return held.bit

    def num_blocks(self, worker: str) -> int:
        """Blocks that the worker is believed to hold, expected ones included. Raises: UnknownWorker."""
        held = self._held.get(worker)
        if held is None:
            raise UnknownWorker(worker)
        return len(held.blocks)

    def match(self, hashes: Sequence[int]) -> list[tuple[int, int]]:
        """Find how many leading blocks each worker holds. Does not change what is known.

        Args:
            hashes: chained hashes, root first.
        Returns: (depth, mask) with depth falling: the workers in `mask` hold at least `depth` blocks. Each mask
            contains the ones before it; a worker in none holds no first block.
        """
        masks, levels = self._masks, []
        here, depth = self._live, 0
        for depth, block in enumerate(hashes):
            mask = masks.get(block, 0) & here
            if mask != here:
                if depth:
                    levels.append((depth, here))
                if not mask:
                    break
                here = mask
        else:
            if hashes:
                levels.append((len(hashes), here))
        levels.reverse()
        return levels

    def stored(self, worker: str, hashes: Sequence[int]) -> None:
        """The worker published that it holds these."""
        held = self._held.get(worker)
        if held is None:
            return
        masks, blocks, bit = self._masks, held.blocks, held.bit
        for block in [block for block in hashes if block not in blocks]:
            masks[block] = masks.get(block, 0) | bit
        blocks.update(dict.fromkeys(hashes, True))
        held.publishes = True  # whatever we were told, it does
        if len(blocks) > held.limit:
            self._trim(held)
        if self._dead:
            self._clean(len(hashes))

    def removed(self, worker: str, hashes: Sequence[int]) -> None:
        """The worker published that it no longer holds these."""
        held = self._held.get(worker)
        if held is None:
            return
        masks, blocks, bit = self._masks, held.blocks, held.bit
        for block in hashes:
            if blocks.pop(block, None) is not None:
                mask = masks[block] ^ bit
                if mask:
                    masks[block] = mask
                else:
                    del masks[block]
        if self._dead:
            self._clean()

    def expect(self, worker: str, hashes: Sequence[int], known: int = 0) -> list[int]:
        """A prompt with these blocks was sent to the worker: it will hold them soon.

        Args:
            known: leading blocks that need no look: the hit by which it was chosen.
        Returns: those that were not there before, to withdraw should it fail.
        """
        held = self._held.get(worker)
        if held is None:
            return []
        masks, blocks, bit = self._masks, held.blocks, held.bit
        fresh: list[int] = []
        if held.publishes:
            new = dict.fromkeys([block for block in islice(hashes, known, None) if block not in blocks], False)
            blocks.update(new)
            fresh = list(new)
            if masks.keys().isdisjoint(fresh):
                masks.update(dict.fromkeys(fresh, bit))
            else:
                for block in fresh:
                    masks[block] = masks.get(block, 0) | bit
        else:  # what is used again moves to the young end; leaves before roots, as engines free them
            for block in reversed(hashes):
                if block in blocks:
                    del blocks[block]
                else:
                    masks[block] = masks.get(block, 0) | bit
                    fresh.append(block)
                blocks[block] = False
        if len(blocks) > held.limit:
            self._trim(held)
        if self._dead:
            self._clean(len(fresh))
        return fresh

    def withdraw(self, worker: str, hashes: Sequence[int]) -> None:
        """What was expected did not come: drop these, except where an event confirmed them."""
        held = self._held.get(worker)
        if held is None:
            return
        blocks, bit = held.blocks, held.bit
        for block in hashes:
            if blocks.get(block) is False:
                del blocks[block]
                self._clear(block, bit)
        self._clean()

    def publishes(self, worker: str) -> bool:
        """Whether events confirm what this worker holds; False for unknown workers."""
        held = self._held.get(worker)
        return held is not None and held.publishes

    def _take_bit(self) -> int:
        if self._free_bits:
            bit = self._free_bits.pop()
        else:
            bit = 1 << self._num_bits
            self._num_bits += 1
        self._live |= bit
        return bit

    def _bury(self, held: _Held) -> None:
        self._live &= ~held.bit
        if held.blocks:
            self._dead.append((held.bit, held.blocks))
        else:
            self._free_bits.append(held.bit)

    def _clean(self, added: int = 0) -> None:
        """Clean up after forgotten workers: a bounded number of entries, yet faster than new ones come."""
        dead = self._dead
        budget = max(CLEAN_PER_CHANGE, 2 * added) if dead else 0
        while dead and budget > 0:
            bit, blocks = dead[0]
            for _ in range(min(budget, len(blocks))):
                self._clear(blocks.popitem()[0], bit)
                budget -= 1
            if not blocks:
                dead.popleft()
                self._free_bits.append(bit)

    def _trim(self, held: _Held) -> None:
        blocks = held.blocks
        excess = len(blocks) - held.limit
        if excess > 0:
            for block in list(islice(blocks, excess)):
                del blocks[block]
                self._clear(block, held.bit)

    def _clear(self, block: int, bit: int) -> None:
        mask = self._masks.get(block, 0) & ~bit
        if mask:
            self._masks[block] = mask
        else:
            self._masks.pop(block, None)
