"""Blocks are conserved, whatever happens; eviction takes the least recently used page, children first."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock.kvcache.pool import BlockPool, PagesRemoved, PagesStored


def test_private_blocks_are_counted_and_come_back() -> None:
    """No entry per block: taking and releasing are sums."""
    pool = BlockPool(10)
    pool.take(7)
    assert (pool.used, pool.blank, pool.available) == (7, 3, 3)
    pool.release(7, (), 0)
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
    pool.take(3)
    pool.store(1, (11, 12, 13), 0, 3)
    pool.release(0, (11, 12, 13), 3)
    assert (pool.used, pool.available, pool.cached_pages) == (0, 4, 3)
    assert pool.match((11, 12, 99), 9) == (2, 2)
    assert pool.match((11, 12, 13), 1) == (1, 1)
    pool.take(2)
    assert pool.drain_events() == (PagesStored(1, 0, (11, 12, 13), None), PagesRemoved((13,)))


def test_a_page_in_use_is_never_evicted() -> None:
    """Held pages are not available."""
    pool = BlockPool(3)
    pool.take(2)
    pool.store(1, (11, 12), 0, 2)
    pool.release(0, (11, 12), 2)
    pool.hold((11,), 1)
    assert (pool.available, pool.used) == (2, 1)
    pool.take(2)
    assert pool.cached_hashes() == {11}


def test_the_least_recently_used_page_goes_first() -> None:
    """Use makes a page young again."""
    pool = BlockPool(2)
    for request, page in ((1, 11), (2, 21)):
        pool.take(1)
        pool.store(request, (page,), 0, 1)
        pool.release(0, (page,), 1)
    pool.hold((11,), 1)
    pool.release(0, (11,), 1)
    pool.take(1)
    assert pool.cached_hashes() == {11}


def test_a_page_computed_twice_is_kept_once() -> None:
    """The second sequence shares the first's, and its own block is blank again."""
    pool = BlockPool(4)
    pool.take(2)
    pool.store(1, (11,), 0, 1)
    pool.store(2, (11,), 0, 1)
    assert (pool.used, pool.blank) == (1, 3)
    pool.release(0, (11,), 1)
    assert pool.used == 1
    pool.release(0, (11,), 1)
    assert (pool.used, pool.available) == (0, 4)


def test_a_page_of_several_blocks_is_evicted_whole() -> None:
    """One block is wanted, four become blank, three stay so."""
    pool = BlockPool(4, page_blocks=4)
    pool.take(4)
    pool.store(1, (11,), 0, 1)
    pool.release(0, (11,), 1)
    pool.take(1)
    assert (pool.blank, pool.used, pool.cached_pages) == (3, 1, 0)


def test_a_pool_without_blocks_is_refused() -> None:
    """So are pages without blocks."""
    with pytest.raises(ValueError):
        BlockPool(0)
    with pytest.raises(ValueError):
        BlockPool(1, page_blocks=0)


class PoolMachine(RuleBasedStateMachine):
    """Sequences of three families of prefixes come, grow and go."""

    @initialize(blocks=st.integers(1, 12), page_blocks=st.integers(1, 3))
    def begin(self, blocks: int, page_blocks: int) -> None:
        self.pool = BlockPool(blocks, page_blocks)
        self.sequences: list[tuple[int, list[int], int]] = []  # private blocks, hashes, pages held
        self.cached: set[int] = set()

    @rule(family=st.integers(1, 3), pages=st.integers(0, 4), private=st.integers(0, 4))
    def admit(self, family: int, pages: int, private: int) -> None:
        pool = self.pool
        hashes = [family * 10 + page for page in range(pages)]
        hits, idle = pool.match(hashes, pages)
        need = (pages - hits) * pool.page_blocks + private
        if need > pool.available - idle * pool.page_blocks:
            return
        pool.hold(hashes, hits)
        pool.take(need)
        pool.store(len(self.sequences), hashes, hits, pages)
        self.sequences.append((private, hashes, pages))

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.sequences:
            self.pool.release(*self.sequences.pop(data.draw(st.integers(0, len(self.sequences) - 1))))

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "pool"):
            return
        pool = self.pool
        pool.check()
        held = {page for _private, hashes, pages in self.sequences for page in hashes[:pages]}
        private = sum(blocks for blocks, _hashes, _pages in self.sequences)
        assert pool.used == private + len(held) * pool.page_blocks
        assert pool.available == pool.num_blocks - pool.used
        for event in pool.drain_events():
            if isinstance(event, PagesStored):
                self.cached |= set(event.hashes)
            else:
                self.cached -= set(event.hashes)
        assert self.cached == pool.cached_hashes() >= held


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
