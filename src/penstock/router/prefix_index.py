"""Which worker holds which KV blocks: one dict from block hash to a run of blocks, with a bit mask of its workers.

A block's hash covers all tokens before it, so a prompt's hit on every worker is one walk along its hashes with AND:
the cost is that of the runs hit (`prefix_run`), not of the blocks, and not of the workers. Runs are how blocks are
kept, not what they mean: events may name any blocks in any order, and the outcome is that of single blocks.

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
from collections.abc import Iterator, Sequence
from typing import Final

from penstock.errors import UnknownWorker
from penstock.router.prefix_run import Hold, Run, agreement

CLEAN_PER_CHANGE: Final = 64  # dead entries cleaned with each change, at least: about 10 µs
MAX_RUN: Final = 256  # blocks; to find and split off one block takes as long as its run is, so microseconds at most


class _Held:
    """What one worker holds: its bit, how many blocks, and its holds in order, between both ends of `ring`."""

    __slots__ = ("bit", "blocks", "limit", "publishes", "ring")

    def __init__(self, bit: int, limit: int, publishes: bool) -> None:
        self.bit = bit
        self.blocks = 0
        self.limit = limit
        self.publishes = publishes
        self.ring = Hold(None, bit)


class PrefixIndex:
    """Blocks to workers. Changed only by its methods; unknown workers, unknown blocks and repeats are harmless."""

    def __init__(self) -> None:
        self._runs: dict[int, Run] = {}  # by each of their blocks
        self._held: dict[str, _Held] = {}
        self._free_bits: list[int] = []
        self._num_bits = 0
        self._live = 0
        self._dead: deque[Hold] = deque()  # rings

    def __len__(self) -> int:
        """Entries in memory, those not yet cleaned up included."""
        return len(self._runs)

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
            held.bit, held.blocks = self._take_bit(), 0
            held.ring = Hold(None, held.bit)

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
        return held.blocks

    def match(self, hashes: Sequence[int]) -> list[tuple[int, int]]:
        """Find how many leading blocks each worker holds. Does not change what is known.

        Args:
            hashes: chained hashes, root first.
        Returns: (depth, mask) with depth falling: the workers in `mask` hold at least `depth` blocks. Each mask
            contains the ones before it; a worker in none holds no first block.
        """
        levels: list[tuple[int, int]] = []
        hashes = tuple(hashes)
        here, depth, end = self._live, 0, len(hashes)
        while here and depth < end:
            run = self._runs.get(hashes[depth])
            mask = run.mask & here if run is not None else 0
            if mask != here:
                if depth:
                    levels.append((depth, here))
                here = mask
            if mask and run is not None:
                own = run.hashes
                first = 0 if own[0] == hashes[depth] else own.index(hashes[depth])
                depth += agreement(own, first, hashes, depth)
        if here and depth:
            levels.append((depth, here))
        levels.reverse()
        return levels

    def stored(self, worker: str, hashes: Sequence[int]) -> None:
        """The worker published that it holds these."""
        held = self._held.get(worker)
        if held is None:
            return
        hashes = tuple(hashes)
        for run, first, at, stop in self._pieces(hashes):
            if run is None:
                self._new(held, hashes[at:stop], confirmed=True)
            elif not run.mask & held.bit:
                self._join(held, self._cut(run, first, stop - at), confirmed=True)
            else:
                hold, last = run.hold_of(held.bit), first + stop - at
                if first > hold.confirmed:
                    self._cut(run, first, stop - at).hold_of(held.bit).confirmed = stop - at
                elif last > hold.confirmed:
                    hold.confirmed = last
        held.publishes = True  # whatever we were told, it does
        self._trim(held)
        if self._dead:
            self._clean(len(hashes))

    def removed(self, worker: str, hashes: Sequence[int]) -> None:
        """The worker published that it no longer holds these. Leaves before roots, as engines evict them, is fast."""
        held = self._held.get(worker)
        if held is None:
            return
        for run, first, at, stop in self._pieces(tuple(hashes)[::-1]):
            if run is None or not run.mask & held.bit:
                continue
            if run.mask == held.bit and 0 < first == len(run.hashes) - (stop - at):
                self._shorten(held, run, first)
            else:
                self._leave(held, self._cut(run, first, stop - at))
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
        fresh: list[int] = []
        if held.publishes:
            hashes = tuple(hashes)[known:]
            for run, first, at, stop in self._pieces(hashes):
                if run is None:
                    fresh += self._new(held, hashes[at:stop], confirmed=False)
                elif not run.mask & held.bit:
                    self._join(held, self._cut(run, first, stop - at), confirmed=False)
                    fresh += hashes[at:stop]
        else:
            fresh = self._used(held, tuple(dict.fromkeys(hashes)))
        self._trim(held)
        if self._dead:
            self._clean(len(fresh))
        return fresh

    def withdraw(self, worker: str, hashes: Sequence[int]) -> None:
        """What was expected did not come: drop these, except where an event confirmed them."""
        held = self._held.get(worker)
        if held is None:
            return
        for run, first, at, stop in self._pieces(tuple(hashes)):
            if run is None or not run.mask & held.bit:
                continue
            last = first + stop - at
            first = max(first, run.hold_of(held.bit).confirmed)
            if first < last:
                self._leave(held, self._cut(run, first, last - first))
        self._clean()

    def publishes(self, worker: str) -> bool:
        """Whether events confirm what this worker holds; False for unknown workers."""
        held = self._held.get(worker)
        return held is not None and held.publishes

    # --- runs

    def _pieces(self, hashes: tuple[int, ...]) -> Iterator[tuple[Run | None, int, int, int]]:
        """Go along some blocks, a piece at a time that is treated alike.

        Yields: (run, first, at, stop): blocks `at` to `stop` are those of `run` from its block `first` on; with no run,
            they are unknown. What is done to a piece may change its run, but no block that is still to come.
        """
        find, at, end = self._runs.get, 0, len(hashes)
        while at < end:
            run = find(hashes[at])
            first, stop = 0, end
            if run is not None:
                own = run.hashes
                if own[0] != hashes[at]:
                    first = own.index(hashes[at])
                stop = at + agreement(own, first, hashes, at)
            elif not self._runs.keys().isdisjoint(hashes[at:]):
                stop = next(place for place in range(at, end) if hashes[place] in self._runs)
            yield run, first, at, stop
            at = stop

    def _cut(self, run: Run, first: int, blocks: int) -> Run:
        """Make a run of its own of `blocks` blocks of a run, from block `first` on."""
        if first:
            run = self._split(run, first)[1]
        return self._split(run, blocks)[0] if blocks < len(run.hashes) else run

    def _split(self, run: Run, blocks: int) -> tuple[Run, Run]:
        """Split a run after some blocks: the smaller part becomes another run."""
        leading = 2 * blocks < len(run.hashes)
        new = run.part(blocks, leading=leading)
        self._runs.update(dict.fromkeys(new.hashes, new))
        return (new, run) if leading else (run, new)

    def _new(self, held: _Held, hashes: tuple[int, ...], *, confirmed: bool, leaves_first: bool = False) -> list[int]:
        """The worker holds blocks that nobody held. Returns: them, each once."""
        if len(hashes) <= MAX_RUN:
            run = Run(hashes)
            entries = dict.fromkeys(hashes, run)
            blocks = list(entries)
            if len(blocks) < len(hashes):
                run.hashes = tuple(blocks)
            self._runs.update(entries)
            self._join(held, run, confirmed=confirmed, leaves_first=leaves_first)
            return blocks
        blocks = list(dict.fromkeys(hashes))
        pieces = [tuple(blocks[at : at + MAX_RUN]) for at in range(0, len(blocks), MAX_RUN)]
        for piece in reversed(pieces) if leaves_first else pieces:
            run = Run(piece)
            self._runs.update(dict.fromkeys(piece, run))
            self._join(held, run, confirmed=confirmed, leaves_first=leaves_first)
        return blocks

    def _join(self, held: _Held, run: Run, *, confirmed: bool, leaves_first: bool = False) -> None:
        """The worker holds a run that it did not hold, its youngest."""
        blocks = len(run.hashes)
        run.held(held.bit, held.ring.older, confirmed=blocks if confirmed else 0, leaves_first=leaves_first)
        held.blocks += blocks

    def _leave(self, held: _Held, run: Run) -> None:
        """The worker does not hold a run any more."""
        held.blocks -= len(run.hashes)
        self._let_go(run.hold_of(held.bit), run)

    def _shorten(self, held: _Held, run: Run, blocks: int) -> None:
        """The only worker that holds a run holds no more than these leading blocks."""
        self._delete(run.hashes[blocks:])
        held.blocks -= len(run.hashes) - blocks
        run.hashes = run.hashes[:blocks]
        hold = run.holds[0]
        hold.confirmed = min(hold.confirmed, blocks)

    def _let_go(self, hold: Hold, run: Run) -> None:
        run.left(hold)
        if not run.mask:
            self._delete(run.hashes)

    def _delete(self, hashes: tuple[int, ...]) -> None:
        """Nobody holds these any more. A run may be long: `deque` walks it without a step of ours."""
        deque(map(self._runs.pop, hashes), maxlen=0)

    def _used(self, held: _Held, hashes: tuple[int, ...]) -> list[int]:
        """What is used again moves to the young end; leaves before roots, as engines free them. Returns: the new."""
        fresh: list[int] = []
        pieces: list[tuple[Run | None, tuple[int, ...]]] = []
        for found, first, at, stop in self._pieces(hashes):
            pieces.append((None if found is None else self._cut(found, first, stop - at), hashes[at:stop]))
        for run, blocks in reversed(pieces):
            if run is None:
                self._new(held, blocks, confirmed=False, leaves_first=True)
                fresh += blocks
            elif run.mask & held.bit:
                hold = run.hold_of(held.bit)
                hold.step_out()
                hold.stand_after(held.ring.older)
                hold.confirmed, hold.leaves_first = 0, True
            else:
                self._join(held, run, confirmed=False, leaves_first=True)
                fresh += blocks
        return fresh

    # --- bounds

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
            self._dead.append(held.ring)
        else:
            self._free_bits.append(held.bit)

    def _clean(self, added: int = 0) -> None:
        """Clean up after forgotten workers: a bounded number of entries, yet faster than new ones come."""
        budget = max(CLEAN_PER_CHANGE, 2 * added)
        while self._dead and budget > 0:
            ring = self._dead[0]
            budget -= self._drop_oldest(ring, budget)
            if ring.younger is ring:
                self._dead.popleft()
                self._free_bits.append(ring.bit)

    def _trim(self, held: _Held) -> None:
        while held.blocks > held.limit:
            held.blocks -= self._drop_oldest(held.ring, held.blocks - held.limit)

    def _drop_oldest(self, ring: Hold, most: int) -> int:
        """Drop the oldest blocks of a worker, of one run only. Returns: how many."""
        hold = ring.younger
        run = hold.run
        assert run is not None
        blocks = len(run.hashes)
        if blocks > most:
            run = self._split(run, blocks - most)[1] if hold.leaves_first else self._split(run, most)[0]
            hold, blocks = run.hold_of(ring.bit), most
        self._let_go(hold, run)
        return blocks
