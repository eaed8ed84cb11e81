"""Blocks are conserved, whatever happens; eviction takes the least recently used page, children first."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from single_pages import SinglePages

from penstock.kvcache.pool import BlockPool, PagesRemoved, PagesStored
from penstock.kvcache.run import Run


def stored(pool: BlockPool, request: int, hashes: tuple[int, ...]) -> Run:
    """Take blocks for these pages and fill them."""
    pool.take(len(hashes) * pool.page_blocks)
    end = pool.store(request, hashes, 0, len(hashes), None)
    assert end is not None
    return end


def test_private_blocks_are_counted_and_come_back() -> None:
    """No entry per block: taking and releasing are sums."""
    pool = BlockPool(10)
    pool.take(7)
    assert (pool.used, pool.blank, pool.available) == (7, 3, 3)
    pool.release(7, None)
    assert (pool.used, pool.available) == (0, 10)


def test_taking_more_than_there_is_is_refused() -> None:
    """The caller has to ask `available` first."""
    pool = BlockPool(10)
    pool.take(7)
    with pytest.raises(ValueError, match="4 blocks wanted, 3 available"):
        pool.take(4)


def test_released_pages_stay_cached_until_room_is_needed() -> None:
    """They count as available, and can be matched."""
    pool = BlockPool(4)
    pool.release(0, stored(pool, 1, (11, 12, 13)))
    assert (pool.used, pool.available, pool.cached_pages) == (0, 4, 3)
    assert pool.match((11, 12, 99), 9)[:2] == (2, 2)
    assert pool.match((11, 12, 13), 1)[:2] == (1, 1)
    pool.take(2)
    assert pool.drain_events() == (PagesStored(1, 0, (11, 12, 13), None), PagesRemoved((13,)))


def test_a_page_in_use_is_never_evicted() -> None:
    """Held pages are not available."""
    pool = BlockPool(3)
    pool.release(0, stored(pool, 1, (11, 12)))
    _, _, run, of_run = pool.match((11,), 1)
    assert run is not None
    pool.hold(run, of_run)
    assert (pool.available, pool.used) == (2, 1)
    pool.take(2)
    assert pool.cached_hashes() == {11}


def test_the_least_recently_used_page_goes_first() -> None:
    """Use makes a page young again."""
    pool = BlockPool(2)
    first = stored(pool, 1, (11,))
    pool.release(0, first)
    pool.release(0, stored(pool, 2, (21,)))
    pool.release(0, pool.hold(first, 1))
    pool.take(1)
    assert pool.cached_hashes() == {11}


def test_a_page_computed_twice_is_kept_once() -> None:
    """The second sequence shares the first's, and its own block is blank again."""
    pool = BlockPool(4)
    first, second = stored(pool, 1, (11,)), stored(pool, 2, (11,))
    assert (pool.used, pool.blank) == (1, 3)
    pool.release(0, first)
    assert pool.used == 1
    pool.release(0, second)
    assert (pool.used, pool.available) == (0, 4)


def test_a_page_of_several_blocks_is_evicted_whole() -> None:
    """One block is wanted, four become blank, three stay so."""
    pool = BlockPool(4, page_blocks=4)
    pool.release(0, stored(pool, 1, (11,)))
    pool.take(1)
    assert (pool.blank, pool.used, pool.cached_pages) == (3, 1, 0)


def test_a_pool_without_blocks_is_refused() -> None:
    """So are pages without blocks."""
    with pytest.raises(ValueError):
        BlockPool(0)
    with pytest.raises(ValueError):
        BlockPool(1, page_blocks=0)


def test_a_run_is_evicted_from_its_tail_and_grows_on_from_there() -> None:
    """What is left of it is found, and a sequence that holds it alone makes it longer."""
    pool = BlockPool(6)
    pool.release(0, stored(pool, 1, (11, 12, 13, 14)))
    pool.take(4)
    assert pool.cached_hashes() == {11, 12}
    pool.blank += 4
    _, _, run, of_run = pool.match((11, 12, 23), 3)
    assert run is not None
    end = pool.hold(run, of_run)
    pool.take(1)
    assert pool.store(2, (11, 12, 23), 2, 3, end) is end
    assert end.hashes == [11, 12, 23]


@dataclass
class Held:
    """What a sequence holds."""

    hashes: list[int]
    pages: int
    private: int
    end: Run | None


class PoolMachine(RuleBasedStateMachine):
    """Sequences that share prefixes come, grow, are cut off and come again; beside it the reference, page by page."""

    @initialize(blocks=st.integers(1, 24), page_blocks=st.integers(1, 3))
    def begin(self, blocks: int, page_blocks: int) -> None:
        self.pool = BlockPool(blocks, page_blocks)
        self.reference = SinglePages(blocks, page_blocks)
        self.sequences: list[Held] = []

    @rule(turns=st.lists(st.integers(0, 3), max_size=12), filled=st.integers(0, 12), private=st.integers(0, 4))
    def admit(self, turns: list[int], filled: int, private: int) -> None:
        """A path down a tree; the first `filled` of its pages are computed at once."""
        pool, reference = self.pool, self.reference
        hashes, node = [], 1
        for turn in turns:
            node = node * 4 + turn // 3  # most go the same way
            hashes.append(node)
        found = pool.match(hashes, len(hashes))
        assert found[:2] == reference.match(hashes, len(hashes))
        need = (len(hashes) - found.pages) * pool.page_blocks + private
        if need > pool.available - found.idle * pool.page_blocks:
            return
        end = pool.hold(found.run, found.of_run) if found.run is not None else None
        reference.hold(hashes, 0, found.pages)
        pool.take(need)
        reference.take(need)
        self.sequences.append(Held(hashes, found.pages, need, end))
        self.fill(self.sequences[-1], filled)

    def fill(self, held: Held, stop: int) -> None:
        stop = min(stop, len(held.hashes))
        if stop > held.pages:
            held.end = self.pool.store(len(self.sequences), held.hashes, held.pages, stop, held.end)
            self.reference.store(len(self.sequences), held.hashes, held.pages, stop)
            held.private -= (stop - held.pages) * self.pool.page_blocks
            held.pages = stop

    @rule(pick=st.integers(0, 100), pages=st.integers(1, 4))
    def grow(self, pick: int, pages: int) -> None:
        if self.sequences:
            held = self.sequences[pick % len(self.sequences)]
            self.fill(held, held.pages + pages)

    @rule(pick=st.integers(0, 100))
    def leave(self, pick: int) -> None:
        if self.sequences:
            held = self.sequences.pop(pick % len(self.sequences))
            self.pool.release(held.private, held.end)
            self.reference.release(held.private, held.hashes, held.pages)

    @invariant()
    def both_are_equal(self) -> None:
        if not hasattr(self, "pool"):
            return
        pool, reference = self.pool, self.reference
        pool.check()
        assert pool.holders() == reference.holders
        assert pool.blank == reference.blank
        assert pool.available == reference.blank + len(reference.idle) * pool.page_blocks
        assert pool.used == pool.num_blocks - pool.available
        assert list(pool.drain_events()) == reference.events
        reference.events.clear()


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
