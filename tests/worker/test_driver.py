"""The engine on the wall clock."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.request import NeverFits
from penstock.hardware.steptime import StepTime
from penstock.messages.engine_spec import StepTimeSpec
from penstock.messages.worker import Role
from penstock.tokenizer.tokenizer import Tokenizer
from penstock.worker.asked import Api, Asked, RequestReader
from penstock.worker.driver import EngineDriver
from penstock.worker.ticket import Ticket

READER = RequestReader(Tokenizer.load("penstock/tiny"), model="m", max_model_len=10_000)
STEP_S = 0.01


def ask(token: int, prompt: int = 16, max_tokens: int = 10, *, stream: bool = True) -> Asked:
    flag = b"true" if stream else b"false"
    body = b'{"prompt": [%s], "max_tokens": %d, "stream": %s}'
    return READER.read(Api.TEXT, body % (b",".join([b"%d" % token] * prompt), max_tokens, flag))


def driver_of(role: Role = Role.WORKER, kv_blocks: int = 100, max_num_seqs: int = 8) -> EngineDriver:
    config = EngineConfig(
        max_num_seqs=max_num_seqs, max_num_batched_tokens=1024, block_tokens=16, kv_blocks=kv_blocks, role=role
    )
    spec = StepTimeSpec(base_s=STEP_S, prefill_token_s=0, prefill_attention_s=0, sequence_s=0, context_token_s=0)
    return EngineDriver(Engine(config), StepTime.from_spec(spec), model_name="m", max_model_len=10_000)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 20)

    asyncio.run(bounded())


def submit(driver: EngineDriver, asked: Asked) -> Ticket:
    return driver.submit(asked, arrived_s=time.monotonic())


def test_steps_do_not_drift() -> None:
    """100 steps of 10 ms take a second, although every wake-up is a little late."""

    async def scenario() -> None:
        for _ in range(3):  # another process may hold up the last wake-up
            driver = driver_of()
            started = time.monotonic()
            await submit(driver, ask(300, max_tokens=100, stream=False)).news(0)
            late_s = time.monotonic() - started - 1.0 - driver.metrics.lag_s
            assert late_s >= -0.001
            if late_s <= 0.02:
                return
        raise AssertionError(f"{late_s} s late")

    run(scenario)


def test_arrivals_of_one_moment_share_their_first_step() -> None:
    """Planned together, they get their first tokens together."""

    async def scenario() -> None:
        driver = driver_of()
        tickets = [submit(driver, ask(300 + number)) for number in range(5)]
        await tickets[0].news(0)
        assert [ticket.produced for ticket in tickets] == [1] * 5

    run(scenario)


def test_a_short_hold_up_is_caught_up_and_a_long_one_is_not_poured_out() -> None:
    """After 80 ms the missed tokens come together; after 1 s just those of `MAX_LAG_S`, at most."""

    async def scenario() -> None:
        driver = driver_of()
        ticket = submit(driver, ask(300, max_tokens=400))
        await ticket.news(2)
        before = ticket.produced
        time.sleep(0.08)  # noqa: ASYNC251 - the hold-up itself
        await ticket.news(before)
        assert ticket.produced - before >= 5
        before = ticket.produced
        time.sleep(1.0)  # noqa: ASYNC251
        await ticket.news(before)
        assert ticket.produced - before < 40
        assert driver.metrics.lag_s > 0.5
        driver.cancel_all()

    run(scenario)


def test_a_cancelled_request_leaves_at_the_next_step_and_frees_its_blocks() -> None:
    """Its reader is told at once; the step that runs computes it still."""

    async def scenario() -> None:
        driver = driver_of()
        ticket, other = submit(driver, ask(300, max_tokens=500)), submit(driver, ask(301, max_tokens=12))
        await ticket.news(3)
        driver.cancel(ticket)
        await ticket.news(10**6)
        assert ticket.finish_reason == "abort"
        await other.news(10**6)
        while other.finish_reason is None:
            await other.news(other.produced)
        assert other.produced == 12
        assert driver.engine.kv_blocks_used == driver.in_flight == 0
        driver.cancel(ticket)  # once more changes nothing
        driver.engine.check()

    run(scenario)


def test_cancelling_the_first_in_a_blocked_queue_lets_the_others_in() -> None:
    """What stood still begins to run again without an arrival."""

    async def scenario() -> None:
        driver = driver_of(max_num_seqs=1)
        first, second = submit(driver, ask(300, max_tokens=1000)), submit(driver, ask(301, max_tokens=3))
        await first.news(0)
        assert second.produced == 0
        driver.cancel(first)
        while second.finish_reason is None:
            await second.news(second.produced)
        assert second.produced == 3

    run(scenario)


def test_released_kv_lets_a_blocked_prefill_run() -> None:
    """A prefill engine whose cache is full of pinned prompts stands still, without a timer, until one is read."""

    async def scenario() -> None:
        driver = driver_of(Role.PREFILL, kv_blocks=4)
        first, second = submit(driver, ask(300, 64, 1, stream=False)), submit(driver, ask(301, 64, 1, stream=False))
        await first.news(0)
        await asyncio.sleep(3 * STEP_S)
        assert second.finish_reason is None
        assert driver._timer is None
        driver.release(first.id)
        await second.news(0)
        assert second.finish_reason == "length"

    run(scenario)


def test_a_request_that_can_never_fit_is_refused_at_once() -> None:
    """It would block the queue for ever."""

    async def scenario() -> None:
        with pytest.raises(NeverFits):
            submit(driver_of(kv_blocks=2), ask(300, prompt=40))

    run(scenario)
