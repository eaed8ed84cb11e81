"""Expected load: sums that match what is in flight, and measurements that know their instant."""

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.router.expected_load import HOLDS_S, REMEMBERED_ENDS, TRANSIT_S, ExpectedLoad, Task
from penstock.router.worker_info import WorkerLoad

CAPACITY = 10_000.0


def task(number: int, *, at_s: float, tokens: int = 100) -> Task:
    return Task(number, at_s, tokens, tokens * 1.1e-5, tokens + 50.3)


class Balances(RuleBasedStateMachine):
    """Requests come, start and go in any order, with repeats and strangers; measurements of any kind in between."""

    def __init__(self) -> None:
        super().__init__()
        self.load = ExpectedLoad()
        self.now_s = 0.0
        self.next = 0
        self.alive: dict[int, Task] = {}

    @rule(tokens=st.integers(1, 100_000), prefill=st.booleans())
    def sent(self, tokens: int, prefill: bool) -> None:
        new = task(self.next, at_s=self.now_s, tokens=tokens)
        self.load.sent(new, prefill, self.now_s)
        self.alive[self.next] = new
        self.next += 1

    @rule(back=st.integers(0, 8))
    def first_token(self, back: int) -> None:
        self.load.first_token(self.next - back, self.now_s)

    @rule(back=st.integers(0, 8))
    def ended(self, back: int) -> None:
        self.load.ended(self.next - back, self.now_s)
        self.alive.pop(self.next - back, None)

    @rule(
        running=st.one_of(st.none(), st.floats(), st.integers(0, 30).map(float)),
        waiting=st.one_of(st.none(), st.floats(), st.integers(0, 30).map(float)),
        usage=st.one_of(st.none(), st.floats(), st.floats(0, 1)),
        age_s=st.floats(-1, 5),
    )
    def measured(self, running: float | None, waiting: float | None, usage: float | None, age_s: float) -> None:
        seen = WorkerLoad(at_s=self.now_s - age_s, running=running, waiting=waiting, kv_usage=usage)
        self.load.measured(seen, kv_capacity_tokens=CAPACITY, now_s=self.now_s)

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.load.outdated(self.now_s)

    @precondition(lambda self: self.alive)
    @rule()
    def all_end(self) -> None:
        for number in list(self.alive):
            self.ended(self.next - number)
        assert self.load.pending_work_s == self.load.running_kv_tokens == self.load.kv_tokens == 0
        assert self.load.pending_tokens == 0
        assert self.load.extra >= 0

    @invariant()
    def sums_are_those_of_what_is_there(self) -> None:
        load = self.load
        assert load.waiting.keys() | load.running.keys() == self.alive.keys()
        assert load.pending_tokens == sum(task.prefill_tokens for task in load.waiting.values())
        assert load.pending_work_s == pytest.approx(sum(task.work_s for task in load.waiting.values()), abs=1e-9)
        assert load.kv_tokens == pytest.approx(sum(task.kv_tokens for task in self.alive.values()), abs=1e-6)
        assert min(load.in_flight, load.pending_work_s, load.running_kv_tokens, load.kv_tokens) >= 0
        assert load.extra_waiting >= 0
        assert load.kv_extra_tokens >= 0
        assert 0 < load.kv_ratio <= 1


TestBalances = Balances.TestCase
TestBalances.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def loaded(requests: int, *, at_s: float = 0.0) -> ExpectedLoad:
    load = ExpectedLoad()
    for number in range(requests):
        load.sent(task(number, at_s=at_s), True, at_s)
    return load


def measure(load: ExpectedLoad, now_s: float, **seen: float) -> bool:
    seen.setdefault("at_s", now_s)
    return load.measured(WorkerLoad(**seen), kv_capacity_tokens=CAPACITY, now_s=now_s)


@pytest.mark.parametrize(("left", "from_s"), [(0, 5.0), (1, 0.0), (2, 0.0), (99, 0.0)])
def test_only_the_end_of_the_head_begins_the_next_prompt(left: int, from_s: float) -> None:
    """Somebody behind it who leaves undoes nothing of what has been computed of it."""
    load = loaded(3)
    load.ended(left, 5.0)
    assert load.progress_from_s == from_s


def test_requests_of_others_count_as_load() -> None:
    """Two gateways before one worker: each sees the other's requests in the scrape."""
    load = loaded(2)
    measure(load, 1.0, running=5, waiting=3)
    assert load.in_flight == 8
    assert load.extra_waiting == 1


def test_an_old_measurement_does_not_undo_what_was_sent_since() -> None:
    """The worker was idle at 1 s; what was sent at 2 s is still there."""
    load = loaded(3, at_s=2.0)
    measure(load, 2.1, at_s=1.0, running=0, waiting=0)
    assert load.in_flight == 3


def test_what_was_sent_since_comes_on_top_of_what_was_measured() -> None:
    """One of somebody else's at 1 s, three of ours since."""
    load = loaded(3, at_s=2.0)
    measure(load, 2.1, at_s=1.0, running=1, waiting=0)
    assert load.in_flight == 4


def test_a_measurement_older_than_the_last_one_is_ignored() -> None:
    """Scrapes may overtake one another."""
    load = loaded(0)
    assert measure(load, 5.0, running=4, waiting=0)
    assert not measure(load, 5.1, at_s=4.0, running=0, waiting=0)
    assert load.in_flight == 4


def test_what_ended_after_the_measurement_is_not_counted_twice() -> None:
    """Two were there at 1 s, as measured; one ended before the measurement arrived."""
    load = loaded(2)
    load.ended(0, 1.5)
    measure(load, 2.0, at_s=1.0, running=2, waiting=0)
    assert load.in_flight == 1


def test_a_lost_finished_is_corrected_by_what_the_worker_says() -> None:
    """We believe in ten, the worker has none: it counts as idle, and what is sent next counts in full."""
    load = loaded(10)
    measure(load, 5.0, running=0, waiting=0)
    assert load.in_flight == 0
    load.sent(task(99, at_s=6.0), True, 6.0)
    assert load.in_flight == 1
    load.ended(99, 7.0)
    for number in range(10):
        load.ended(number, 8.0)
    load.sent(task(100, at_s=9.0), True, 9.0)
    assert load.in_flight == 1


def test_a_request_still_on_its_way_is_not_taken_for_lost() -> None:
    """It was sent just before the worker counted."""
    load = loaded(1, at_s=1.0)
    measure(load, 1.1, at_s=1.0 + TRANSIT_S / 2, running=0, waiting=0)
    assert load.in_flight == 1


@pytest.mark.parametrize("value", [None, nan, inf, -1.0])
def test_no_data_is_not_idle(value: float | None) -> None:
    """A missing or broken value leaves what is known."""
    load = loaded(4)
    assert not load.measured(
        WorkerLoad(at_s=1.0, running=value, waiting=value, kv_usage=value), kv_capacity_tokens=CAPACITY, now_s=1.0
    )
    assert load.in_flight == 4


def test_running_without_waiting_is_only_a_lower_bound() -> None:
    """What waits was not told, so ours may well be waiting."""
    load = loaded(4)
    measure(load, 1.0, running=2)
    assert load.in_flight == 4
    measure(load, 2.0, running=7)
    assert load.in_flight == 7


def test_kv_usage_corrects_ours_both_ways() -> None:
    """Shared prefixes take less than the sum; other users take more."""
    load = loaded(10)  # 1503 tokens
    measure(load, 1.0, kv_usage=0.05)
    assert load.kv_tokens * load.kv_ratio == pytest.approx(500)
    measure(load, 2.0, kv_usage=0.5)
    assert load.kv_ratio == 1
    assert load.kv_extra_tokens == pytest.approx(5000 - load.kv_tokens)


def test_a_measurement_does_not_hold_for_ever() -> None:
    """When scrapes stop, only our own count is left."""
    load = loaded(2)
    measure(load, 1.0, running=9, waiting=0, kv_usage=0.9)
    assert not load.outdated(1.0 + HOLDS_S)
    assert load.outdated(1.1 + HOLDS_S)
    assert load.in_flight == 2
    assert load.kv_extra_tokens == 0
    assert not load.outdated(2.0 + HOLDS_S)


def test_a_measurement_from_before_more_ends_than_are_remembered_is_not_used() -> None:
    """What was ours then can't be known any more."""
    load = loaded(REMEMBERED_ENDS + 1)
    for number in range(REMEMBERED_ENDS + 1):
        load.ended(number, 2.0)
    assert not measure(load, 3.0, at_s=1.0, running=3, waiting=0)
    assert measure(load, 3.0, at_s=2.5, running=3, waiting=0)
    assert load.in_flight == 3


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_rounding_leaves_nothing_behind(tokens: list[int]) -> None:
    """Sums of floats that come and go in another order end at exactly 0."""
    load = ExpectedLoad()
    for number, count in enumerate(tokens):
        load.sent(task(number, at_s=0.0, tokens=count), True, 0.0)
    for number in range(len(tokens)):
        load.first_token(number, 1.0)
    for number in sorted(range(len(tokens)), key=lambda n: (n * 7) % 5):
        load.ended(number, 2.0)
    assert (load.pending_work_s, load.running_kv_tokens, load.kv_tokens) == (0, 0, 0)
