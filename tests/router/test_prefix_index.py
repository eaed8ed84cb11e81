"""The prefix index: against a naive model, and its bounds."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.errors import UnknownWorker
from penstock.router import prefix_index
from penstock.router.prefix_index import CLEAN_PER_CHANGE, PrefixIndex

WORKERS = ["a", "b", "c", "unknown"]
workers = st.sampled_from(WORKERS)
# Any list, repeats and holes and all; and stretches of one chain, forwards and backwards, which are what engines tell.
stretches = st.tuples(st.integers(0, 13), st.integers(0, 13)).map(
    lambda ends: list(range(*ends)) if ends[0] <= ends[1] else list(range(*ends, -1))
)
blocks = st.one_of(stretches, st.lists(st.integers(0, 13), max_size=6))


def hits(index: PrefixIndex, hashes: list[int], names: list[str]) -> dict[str, int]:
    """Leading blocks by worker, read from the index's levels."""
    levels = index.match(hashes)
    return {name: next((depth for depth, mask in levels if mask & index.bit(name)), 0) for name in names}


LIMITS = {"a": 100, "b": 5, "c": 4}  # `c` publishes nothing until it does


class AgainstSets(RuleBasedStateMachine):
    """Each worker is a dict of block -> confirmed, oldest first; the index must agree, and drop the same."""

    def __init__(self) -> None:
        super().__init__()
        self.index = PrefixIndex()
        self.model: dict[str, dict[int, bool]] = {}
        self.publishes: dict[str, bool] = {}

    def trim(self, worker: str) -> None:
        held = self.model[worker]
        while len(held) > LIMITS[worker]:
            del held[next(iter(held))]

    @rule(worker=st.sampled_from(WORKERS[:3]))
    def add(self, worker: str) -> None:
        self.index.add(worker, limit=LIMITS[worker], publishes=worker != "c")
        if worker not in self.model:
            self.model[worker], self.publishes[worker] = {}, worker != "c"

    @rule(worker=workers)
    def drop(self, worker: str) -> None:
        self.index.drop(worker)
        self.model.pop(worker, None)

    @rule(worker=workers)
    def forget(self, worker: str) -> None:
        self.index.forget(worker)
        if worker in self.model:
            self.model[worker] = {}

    @rule(worker=workers, hashes=blocks)
    def stored(self, worker: str, hashes: list[int]) -> None:
        self.index.stored(worker, hashes)
        if worker in self.model:
            self.publishes[worker] = True
            self.model[worker].update(dict.fromkeys(hashes, True))
            self.trim(worker)

    @rule(worker=workers, hashes=blocks)
    def removed(self, worker: str, hashes: list[int]) -> None:
        self.index.removed(worker, hashes)
        for block in hashes:
            self.model.get(worker, {}).pop(block, None)

    @rule(worker=workers, hashes=blocks)
    def expect(self, worker: str, hashes: list[int]) -> None:
        held = self.model.get(worker)
        fresh = self.index.expect(worker, hashes)
        wanted = [block for block in dict.fromkeys(hashes) if block not in held] if held is not None else []
        assert sorted(fresh) == sorted(wanted)
        if held is None:
            return
        if self.publishes[worker]:
            held.update(dict.fromkeys(wanted, False))
        else:
            for block in reversed(dict.fromkeys(hashes)):
                held.pop(block, None)
                held[block] = False
        self.trim(worker)

    @rule(worker=workers, hashes=blocks)
    def withdraw(self, worker: str, hashes: list[int]) -> None:
        self.index.withdraw(worker, hashes)
        held = self.model.get(worker, {})
        for block in hashes:
            if held.get(block) is False:
                del held[block]

    @rule(hashes=blocks)
    def walk(self, hashes: list[int]) -> None:
        expected = {}
        for name, held in self.model.items():
            depth = 0
            while depth < len(hashes) and hashes[depth] in held:
                depth += 1
            expected[name] = depth
        assert hits(self.index, hashes, list(self.model)) == expected
        levels = self.index.match(hashes)
        assert [depth for depth, _ in levels] == sorted({depth for depth, _ in levels}, reverse=True)

    @invariant()
    def they_hold_the_same(self) -> None:
        for name, held in self.model.items():
            assert self.index.num_blocks(name) == len(held)
            assert {block for block in range(14) if hits(self.index, [block], [name])[name]} == set(held)
        assert len(self.index) <= 14


TestAgainstSets = AgainstSets.TestCase
TestAgainstSets.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def index_with(*names: str, limit: int = 1000, publishes: bool = True) -> PrefixIndex:
    index = PrefixIndex()
    for name in names:
        index.add(name, limit=limit, publishes=publishes)
    return index


def test_a_walk_ends_at_the_first_block_that_a_worker_lacks() -> None:
    """A block after a hole is of no use: its prefix would have to be computed."""
    index = index_with("a", "b")
    index.stored("a", [1, 2, 4])
    index.stored("b", [1, 2, 3, 4])
    assert hits(index, [1, 2, 3, 4, 5], ["a", "b"]) == {"a": 2, "b": 4}


def test_forgetting_a_large_worker_takes_effect_at_once_and_is_cleaned_up_in_small_parts() -> None:
    """A lost worker must not stop the event loop: its entries go a bounded number with each later change."""
    index = index_with("a", "b", limit=10_000)
    index.stored("a", range(10_000))
    index.forget("a")
    assert index.match(range(10)) == []
    assert len(index) == 10_000  # nothing was walked yet
    index.stored("b", [-1])
    assert len(index) == 10_000 - CLEAN_PER_CHANGE + 1
    changes = 0
    while len(index) > 1:
        index.removed("b", [-2])
        changes += 1
    assert changes <= 10_000 / CLEAN_PER_CHANGE + 1
    assert hits(index, [-1], ["b"]) == {"b": 1}


def test_runs_end_at_their_limit() -> None:
    """One block of a very long prompt is found and removed in microseconds, in whatever order blocks go."""
    index = index_with("a", limit=10_000)
    index.stored("a", range(5000))
    assert max(len(run.hashes) for run in index._runs.values()) == prefix_index.MAX_RUN
    index.removed("a", range(1, 5000, 2))
    assert index.num_blocks("a") == 2500
    assert hits(index, list(range(5000)), ["a"]) == {"a": 1}


def test_a_rebuild_after_forget_starts_from_nothing() -> None:
    """Old entries under the old bit must not shine through, even while they are being cleaned up."""
    index = index_with("a")
    index.stored("a", [1, 2, 3])
    index.forget("a")
    index.stored("a", [1])
    assert hits(index, [1, 2, 3], ["a"]) == {"a": 1}


def test_memory_stays_bounded_when_a_worker_is_forgotten_over_and_over() -> None:
    """Cleaning up is faster than anything new comes."""
    index = index_with("a", limit=500)
    for round_ in range(50):
        index.stored("a", range(round_ * 1000, round_ * 1000 + 500))
        index.forget("a")
        assert len(index) <= 1000
    assert index.bit("a") < 1 << 8  # bits are used again


def test_a_worker_that_never_removes_loses_its_oldest_blocks_at_its_limit() -> None:
    """Missed removals must not fill memory."""
    index = index_with("a", limit=10)
    for block in range(100):
        index.stored("a", [block])
    assert index.num_blocks("a") == len(index) == 10
    assert hits(index, [99], ["a"]) == {"a": 1}
    assert hits(index, [89], ["a"]) == {"a": 0}


def test_without_events_the_blocks_used_longest_ago_go_first_and_leaves_before_roots() -> None:
    """What a worker was sent is a guess at its LRU cache."""
    index = index_with("a", limit=6, publishes=False)
    index.expect("a", [1, 2, 3])
    index.expect("a", [11, 12, 13])
    index.expect("a", [1, 2, 3])  # used again
    index.expect("a", [21, 22])
    assert hits(index, [1, 2, 3], ["a"]) == {"a": 3}
    assert hits(index, [11, 12, 13], ["a"]) == {"a": 1}


def test_an_event_confirms_what_was_expected_and_withdrawing_then_changes_nothing() -> None:
    """Only what never came true is taken back."""
    index = index_with("a")
    assert index.expect("a", [1, 2, 3]) == [1, 2, 3]
    index.stored("a", [1, 2])
    index.withdraw("a", [1, 2, 3])
    assert hits(index, [1, 2, 3], ["a"]) == {"a": 2}


def test_unknown_workers_are_named_when_asked_for_and_ignored_in_events() -> None:
    """Events race with removals; questions about a stranger are mistakes."""
    index = index_with("a")
    index.stored("b", [1])
    index.removed("b", [1])
    index.forget("b")
    index.drop("b")
    assert index.expect("b", [1]) == []
    assert len(index) == 0
    with pytest.raises(UnknownWorker):
        index.bit("b")
