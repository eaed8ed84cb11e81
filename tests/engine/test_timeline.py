"""An engine on a clock: when steps start and end, and what an arrival does to those under way."""

import pytest

from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest
from penstock.engine.timeline import Gaps, Timeline
from penstock.hardware.steptime import StepTime
from penstock.messages.worker import Role

STEP = StepTime(base=100, prefill_token=1, prefill_attention=0, sequence=10, context_token=1)


def timeline(*, seats: int = 8, blocks: int = 100, role: Role = Role.WORKER, burst: bool = True) -> Timeline:
    config = EngineConfig(max_num_seqs=seats, max_num_batched_tokens=64, block_tokens=4, kv_blocks=blocks, role=role)
    return Timeline(Engine(config), STEP, burst=burst)


def test_a_request_alone_takes_its_prefill_and_a_burst() -> None:
    """Prompt of 10: 110 ticks. Then steps of 100 + 10 + 11, + 12, + 13 ticks."""
    line = timeline()
    line.add(1000, EngineRequest(1, 10, 4))
    assert line.next_event() == 1110
    first, rest = line.advance(10_000)
    assert (first.at, first.progress.first_tokens, first.gaps) == (1110, (1,), ())
    assert (rest.at, rest.progress.finished) == (1110 + 121 + 122 + 123, (1,))
    assert rest.gaps == (Gaps(first=121, growth=1, steps=3, sequences=1),)
    assert line.next_event() is None


def test_an_arrival_inside_a_burst_joins_at_the_next_boundary() -> None:
    """The burst from 110 on has boundaries at 231 and 353; who arrives at 240 is prefilled from 353 on."""
    line = timeline()
    line.add(0, EngineRequest(1, 10, 50))
    line.advance(240)
    line.add(240, EngineRequest(2, 10, 1))
    assert line.next_event() == 353
    assert [moment.at for moment in line.advance(353)] == [353]
    assert line.next_event() == 353 + 100 + 10 + 10 + 13


@pytest.mark.parametrize(("at", "first_token_at"), [(230, 363), (231, 363), (232, 486), (353, 486)])
def test_an_arrival_exactly_at_a_boundary_joins_there(at: int, first_token_at: int) -> None:
    """Boundaries at 231 and 353, then its prefill step of 132 or 133 ticks: a step starts after all that arrives."""
    line = timeline()
    line.add(0, EngineRequest(1, 10, 50))
    line.advance(at)
    line.add(at, EngineRequest(2, 10, 1))
    assert [moment.at for moment in line.advance(1000) if 2 in moment.progress.first_tokens] == [first_token_at]


def test_all_that_arrive_at_one_instant_are_planned_together() -> None:
    """Ten at a time, as in real traces: one prefill step."""
    line = timeline()
    for number in range(3):
        line.advance(500)
        line.add(500, EngineRequest(number, 10, 1))
    (moment,) = line.advance(10_000)
    assert (moment.at, moment.progress.first_tokens) == (500 + 100 + 30, (0, 1, 2))


def test_an_arrival_that_has_to_wait_anyway_does_not_cut_the_burst() -> None:
    """All seats are taken: the burst goes on to its end."""
    line = timeline(seats=1)
    line.add(0, EngineRequest(1, 10, 50))
    line.advance(200)
    before = line.next_event()
    line.add(200, EngineRequest(2, 10, 1))
    assert line.next_event() == before


def test_steps_end_by_the_instant_and_start_before_it() -> None:
    """At 110 the prefill has ended, and the next step has not begun: an arrival at 110 is still in time."""
    line = timeline()
    line.add(0, EngineRequest(1, 10, 3))
    assert [moment.at for moment in line.advance(109)] == []
    assert [moment.at for moment in line.advance(110)] == [110]
    line.add(110, EngineRequest(2, 10, 1))
    (moment,) = line.advance(300)
    assert moment.progress.first_tokens == (2,)


def test_going_back_or_skipping_ahead_is_refused() -> None:
    """Arrivals come in order, and everything before them is handled first."""
    line = timeline()
    line.add(1000, EngineRequest(1, 10, 3))
    with pytest.raises(ValueError, match="before"):
        line.add(999, EngineRequest(2, 10, 3))
    with pytest.raises(ValueError, match="advance first"):
        line.add(5000, EngineRequest(3, 10, 3))


def test_a_cancelled_request_leaves_at_the_next_boundary() -> None:
    """And the one that waited for its seat takes it there."""
    line = timeline(seats=1)
    line.add(0, EngineRequest(1, 10, 50))
    line.advance(150)
    line.add(150, EngineRequest(2, 10, 1))
    assert line.cancel(150, 1)
    assert not line.cancel(150, 1)
    moments = line.advance(10_000)
    assert [(moment.at, moment.progress.finished) for moment in moments] == [(231, ()), (341, (2,))]


def test_a_resumed_requests_gap_reaches_back_to_its_last_token() -> None:
    """From the boundary at which it was preempted to the end of its recompute."""
    line = timeline(blocks=6)
    for number in (1, 2, 3):
        line.add(0, EngineRequest(number, 8, 5))
    moments = line.advance(100_000)
    prefilled = moments[0].at
    resumed = next(moment for moment in moments if moment.progress.resumed)
    assert resumed.gaps == (Gaps(resumed.at - prefilled, 0, 1, 1),)
    tokens = sum(gap.steps * gap.sequences for moment in moments for gap in moment.gaps)
    assert tokens == 3 * 4


def test_a_prefill_engine_goes_on_when_kv_is_read() -> None:
    """At the instant of the release, not before."""
    line = timeline(role=Role.PREFILL, blocks=3)
    line.add(0, EngineRequest(1, 8, 1))
    line.advance(500)
    line.add(500, EngineRequest(2, 8, 1))
    assert line.next_event() is None
    line.advance(900)
    assert line.release(900, 1)
    assert line.next_event() == 1008


def test_catching_up_makes_counters_exact_and_changes_nothing_else() -> None:
    """Inside a burst the context grows by a token a step; what comes of it stays the same."""
    plain, scraped = timeline(), timeline()
    for line in (plain, scraped):
        line.add(0, EngineRequest(1, 10, 50))
        line.advance(231)
    scraped.advance(400)
    scraped.catch_up(400)
    assert scraped.engine.context_tokens == 10 + 3
    assert scraped.next_event() == plain.next_event()


def test_a_gap_over_steps_of_prompts_only_reaches_back_to_the_last_token() -> None:
    """`prefill_first`: request 1 has its first token at 110, waits for 2's prompt of 30, and goes on after it."""
    config = EngineConfig(max_num_seqs=8, max_num_batched_tokens=64, block_tokens=4, kv_blocks=100, prefill_first=True)
    line = Timeline(Engine(config), STEP)
    line.add(0, EngineRequest(1, 10, 3))
    line.advance(110)
    line.add(110, EngineRequest(2, 30, 3))
    prompts, decode = line.advance(100_000)
    assert (prompts.at, prompts.gaps) == (110 + 130, ())
    first = 100 + 2 * 10 + 11 + 31
    assert decode.gaps == (Gaps(130 + first, 0, 1, 1), Gaps(first, 0, 1, 1), Gaps(first + 2, 2, 1, 2))
