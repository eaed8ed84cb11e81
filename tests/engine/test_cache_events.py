"""Whoever follows an engine's cache events knows exactly what is cached, and never sees a page without its parent."""

import pytest
from scenario import make

from penstock.engine.engine import Engine
from penstock.engine.timeline import Timeline
from penstock.kvcache.pool import CacheEvent, PagesStored


class Follower:
    """An index made of events alone. Refuses what a prefix index could not use."""

    def __init__(self) -> None:
        self.parents: dict[int, int | None] = {}

    def follow(self, event: CacheEvent) -> None:
        if isinstance(event, PagesStored):
            parent = event.parent
            for page in event.hashes:
                assert page not in self.parents, "stored twice"
                assert parent is None or parent in self.parents, "stored under a parent that is gone"
                self.parents[page] = parent
                parent = page
        else:
            for page in event.hashes:
                del self.parents[page]
                assert page not in self.parents.values(), "evicted before its child"


@pytest.mark.parametrize("batch", range(4))
def test_events_replayed_give_exactly_the_cached_pages(batch: int) -> None:
    """After every commit, in any order of eviction, preemption, cancellation and sharing."""
    for seed in range(batch * 60, batch * 60 + 60):
        scenario = make(seed)
        timeline = Timeline(Engine(scenario.config), scenario.step_time)
        follower = Follower()
        todo = [(at, 0, request) for at, request in scenario.arrivals]
        todo += [(at, 1, number) for at, number in scenario.interruptions if number is not None]
        for at, what, detail in sorted(todo, key=lambda item: item[:2]):
            follow(timeline, at, follower, seed)
            if what == 0:
                timeline.add(at, detail)
            else:
                timeline.cancel(at, detail)
        follow(timeline, 10**12, follower, seed)


def follow(timeline: Timeline, to: int, follower: Follower, seed: int) -> None:
    moments = timeline.advance(to)
    for moment in moments:
        for event in moment.progress.cache:
            follower.follow(event)
    if timeline.next_event() is None:  # else the planned batch's events are still to come
        assert set(follower.parents) == timeline.engine.cached_hashes(), f"seed {seed}"
