"""Many steps at once are the same as one by one, exactly: instants, events, gaps and counters, with `==`."""

import pytest
from scenario import Scenario, make

from penstock.engine.engine import Engine
from penstock.engine.timeline import Moment, Timeline
from penstock.kvcache.pool import PagesStored
from penstock.messages.worker import Role

FOREVER = 10**15


def history(scenario: Scenario, *, burst: bool, scrape: bool) -> tuple[list, list, list]:
    """Everything that can be seen of a run: (what happened and when, gap by gap, counters at each scrape)."""
    timeline = Timeline(Engine(scenario.config), scenario.step_time, burst=burst)
    engine = timeline.engine
    happened: list[tuple] = []
    gaps: list[tuple[int, int]] = []
    counters: list[tuple] = []
    pinned: list[int] = []

    def note(moments: list[Moment]) -> None:
        for moment in moments:
            progress = moment.progress
            pinned.extend(progress.prefilled)
            seen = (
                progress.first_tokens,
                progress.cached_tokens,
                progress.resumed,
                progress.finished,
                progress.prefilled,
                progress.preempted,
                tuple((type(event).__name__, event.hashes, getattr(event, "parent", None)) for event in progress.cache),
            )
            if any(seen):
                happened.append((moment.at, *seen))
            for gap in moment.gaps:
                gaps.extend((gap.first + step * gap.growth, gap.sequences) for step in range(gap.steps))

    todo = [(at, 0, "arrive", request) for at, request in scenario.arrivals]
    todo += [(at, 1, "interrupt", target) for at, target in scenario.interruptions]
    if scrape:
        todo += [(at, 2, "scrape", None) for at in scenario.scrapes]
    todo.sort(key=lambda item: item[:2])
    for at, _order, what, detail in todo:
        note(timeline.advance(at))
        if what == "arrive":
            timeline.add(at, detail)
        elif what == "scrape":
            note(timeline.catch_up(at))
            counters.append((at, *count(engine)))
        elif detail is not None:
            timeline.cancel(at, detail)
            if detail in pinned:
                pinned.remove(detail)
        elif pinned:
            timeline.release(at, pinned.pop(0))
    note(timeline.advance(FOREVER))
    at = FOREVER
    while pinned:
        at += 1000
        timeline.release(at, pinned.pop(0))
        at += FOREVER
        note(timeline.advance(at))
    engine.check()
    assert engine.drained, "every request ends"
    counters.append(count(engine))
    return happened, gaps, counters


def count(engine: Engine) -> tuple:
    return (
        engine.running,
        engine.waiting,
        engine.decoding,
        engine.context_tokens,
        engine.queued_prefill_tokens,
        engine.kv_blocks_used,
        engine.num_preemptions,
        engine.prefix_queries,
        engine.prefix_hits,
        engine.pinned,
        engine.cached_hashes(),
    )


@pytest.mark.parametrize("batch", range(12))
def test_bursts_and_single_steps_write_the_same_history(batch: int) -> None:
    """Tiny pools, shared prefixes, eviction, preemption, cancellation, all roles, arrivals on boundaries."""
    for seed in range(batch * 60, batch * 60 + 60):
        scenario = make(seed)
        # A scrape splits a burst; without scrapes bursts are as long as they get.
        for scrape in (False, True):
            fast = history(scenario, burst=True, scrape=scrape)
            slow = history(scenario, burst=False, scrape=scrape)
            for name, one, other in zip(("events", "gaps", "counters"), fast, slow, strict=True):
                assert one == other, f"seed {seed}, scrape {scrape}: {name} differ"


def told(scenario: Scenario, *, late: bool) -> tuple[list[tuple], list[tuple]]:
    """(all but evictions, with instants; at each instant at which something comes, all that was cached and evicted)."""
    timeline = Timeline(Engine(scenario.config), scenario.step_time, burst=late)
    timeline.engine.tells_late = late
    happened: list[tuple] = []
    pages: list[tuple] = []
    seen: list[tuple] = []

    def note(moments: list[Moment]) -> None:
        for at, progress in ((moment.at, moment.progress) for moment in moments):
            ended = progress.first_tokens, progress.resumed, progress.finished, progress.preempted
            if any(ended):
                happened.append((at, *ended))
            pages.extend((type(event).__name__, page) for event in progress.cache for page in event.hashes)

    todo: list[tuple] = [(at, 0, request) for at, request in scenario.arrivals]
    todo += [(at, 1, target) for at, target in scenario.interruptions if target is not None]
    for at, order, detail in sorted(todo, key=lambda item: item[:2]):
        note(timeline.catch_up(at) if late else timeline.advance(at))
        seen.append((at, tuple(pages)))
        if order:
            timeline.cancel(at, detail)
        else:
            timeline.add(at, detail)
    note(timeline.advance(FOREVER))
    timeline.engine.check()
    return happened, [*seen, (FOREVER, tuple(pages))]


@pytest.mark.parametrize("batch", range(6))
def test_evictions_told_late_are_the_same_by_the_time_that_anybody_asks(batch: int) -> None:
    """Bursts go on while they evict; split when something comes, they have told what single steps tell by then."""
    for seed in range(batch * 60, batch * 60 + 60):
        scenario = make(seed, role=Role.DECODE if seed % 3 == 0 else Role.WORKER, page_blocks=1)
        for late, single in zip(told(scenario, late=True), told(scenario, late=False), strict=True):
            assert late == single, f"seed {seed}"


def test_gaps_add_up_to_the_time_from_first_to_last_token() -> None:
    """Over all requests, resumed ones included: every token but the first has exactly one gap."""
    for seed in range(300):
        scenario = make(seed)
        scenario.interruptions = [(at, number) for at, number in scenario.interruptions if number is None]
        happened, gaps, _counters = history(scenario, burst=True, scrape=False)
        first = {number: row[0] for row in happened for number in row[1]}
        last = {number: row[0] for row in happened for number in row[4]}
        prefill = scenario.config.role is Role.PREFILL
        tokens = sum(1 if prefill else request.max_tokens for _at, request in scenario.arrivals)
        assert sum(count for _gap, count in gaps) == tokens - len(first), f"seed {seed}"
        assert sum(gap * count for gap, count in gaps) == sum(last[number] - first[number] for number in last), seed


def test_the_fuzz_reaches_what_it_is_for() -> None:
    """Preemption, eviction, decode-filled pages, prefix hits and cancelled requests all happen in these seeds."""
    preempted = evicted = filled = hits = 0
    roles: set[Role] = set()
    for seed in range(120):
        scenario = make(seed)
        happened, _gaps, counters = history(scenario, burst=True, scrape=False)
        roles.add(scenario.config.role)
        prompt_pages = {
            request.block_hashes[page]
            for _at, request in scenario.arrivals
            for page in range(min(len(request.block_hashes), request.prompt_tokens // scenario.config.page_tokens))
        }
        preempted += counters[-1][6]
        hits += counters[-1][8]
        for row in happened:
            for kind, hashes, _parent in row[-1]:
                evicted += kind == "PagesRemoved"
                filled += kind == PagesStored.__name__ and not set(hashes) <= prompt_pages
    assert roles == {Role.WORKER, Role.PREFILL, Role.DECODE}
    assert min(preempted, evicted, filled, hits) > 50, (preempted, evicted, filled, hits)


def test_bursts_take_far_fewer_commits_than_steps() -> None:
    """Equal results would be no feat, if bursts were single steps."""
    long = make(3, role=Role.WORKER)
    scenario = Scenario(long.config, long.step_time, long.arrivals[:1], [], [])
    scenario.arrivals[0] = (0, type(long.arrivals[0][1])(0, 1, 5))
    timeline = Timeline(Engine(scenario.config), scenario.step_time)
    timeline.add(0, scenario.arrivals[0][1])
    assert [moment.progress.steps for moment in timeline.advance(FOREVER)] == [1, 4]
