"""Virtual time for asyncio code: nothing waits, time jumps to the next instant that somebody waits for.

The jump happens where asyncio would block: in the selector. By then every callback that can run has run, so there is
no guessing whether the world is quiet, and the code under test is the live code, on public interfaces of asyncio only.
`sleep_until` wakes at exactly the instant that was asked for, so the same run gives the same floats every time; plain
`asyncio.sleep` and timeouts run in virtual time too, to the nearest float.

It does not know about threads: work handed to an executor takes no virtual time and its result may come after a jump,
so code that runs here decides inline. A run in which nothing can ever happen again raises, rather than hang.
"""

import asyncio
import heapq
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualClock:
    """A clock whose seconds pass only by waiting for them."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._asked = 0

    def now_s(self) -> float:
        """Virtual seconds since the run began."""
        return self._now_s

    async def sleep_until(self, at_s: float) -> None:
        """Wait for that very instant. Those who wait for the same one wake in the order in which they asked."""
        if at_s <= self._now_s:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked += 1
        heapq.heappush(self._waiting, (at_s, self._asked, woken))
        await woken

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in virtual time. Raises: RuntimeError, if it waits for what cannot come."""
        loop = _VirtualLoop(self)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(main)

    def jump(self, timeout_s: float | None) -> None:
        """Move to the next instant: the earliest sleeper's, or asyncio's own timer, `timeout_s` from now."""
        timer_s = math.inf if timeout_s is None else self._now_s + timeout_s
        while self._waiting and self._waiting[0][2].done():  # cancelled meanwhile
            heapq.heappop(self._waiting)
        if self._waiting and self._waiting[0][0] <= timer_s:
            at_s, _, woken = heapq.heappop(self._waiting)
            self._now_s = at_s
            woken.set_result(None)
        elif timer_s < math.inf:
            self._now_s = timer_s
        else:
            raise RuntimeError("virtual time stands still: everyone waits and no instant is due")


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_JumpingSelector(clock))
        self._virtual = clock

    def time(self) -> float:
        return self._virtual.now_s()


class _JumpingSelector(selectors.DefaultSelector):
    """Where asyncio would block, virtual time moves on instead."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self._clock.jump(timeout)
        return ready
