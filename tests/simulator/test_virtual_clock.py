"""Virtual time: exact instants, their order, and no waiting."""

import asyncio
import time

import pytest

from penstock.simulator.clock import VirtualClock


def test_an_hour_passes_at_once_and_wakes_at_exactly_the_instant() -> None:
    clock = VirtualClock()

    async def main() -> list[float]:
        instants = []
        for second in range(1, 3601):
            await clock.sleep_until(second * 1.1)
            instants.append(clock.now_s())
        return instants

    began = time.monotonic()
    assert clock.run(main()) == [second * 1.1 for second in range(1, 3601)]
    assert time.monotonic() - began < 5


def test_sleepers_wake_in_order_of_time_then_of_asking() -> None:
    clock = VirtualClock()
    woke: list[str] = []

    async def sleeper(name: str, at_s: float) -> None:
        await clock.sleep_until(at_s)
        woke.append(name)

    async def main() -> None:
        await asyncio.gather(sleeper("late", 2.0), sleeper("first", 1.0), sleeper("second", 1.0))

    clock.run(main())
    assert woke == ["first", "second", "late"]


def test_plain_asyncio_sleeps_and_timeouts_run_in_virtual_time_too() -> None:
    clock = VirtualClock()

    async def main() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), timeout=100)
        await asyncio.sleep(50)
        return clock.now_s()

    assert clock.run(main()) == pytest.approx(150)


def test_timers_and_sleepers_take_their_turns_in_order_of_time() -> None:
    clock = VirtualClock()
    woke: list[tuple[str, float]] = []

    async def sleeper() -> None:
        for at_s in (10, 30):
            await clock.sleep_until(at_s)
            woke.append(("sleeper", clock.now_s()))

    async def timer() -> None:
        for _ in range(2):
            await asyncio.sleep(20)
            woke.append(("timer", clock.now_s()))

    async def main() -> None:
        await asyncio.gather(sleeper(), timer())

    clock.run(main())
    assert woke == [("sleeper", 10), ("timer", 20), ("sleeper", 30), ("timer", 40)]


def test_a_cancelled_sleeper_does_not_move_time() -> None:
    clock = VirtualClock()

    async def main() -> float:
        sleeper = asyncio.create_task(clock.sleep_until(10))
        await asyncio.sleep(0)
        sleeper.cancel()
        await clock.sleep_until(20)
        return clock.now_s()

    assert clock.run(main()) == 20


def test_a_past_instant_returns_at_once() -> None:
    clock = VirtualClock()

    async def main() -> float:
        await clock.sleep_until(5)
        await clock.sleep_until(3)
        return clock.now_s()

    assert clock.run(main()) == 5


def test_waiting_for_what_cannot_come_raises_rather_than_hangs() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="stands still"):
        VirtualClock().run(main())
