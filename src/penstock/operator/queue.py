"""Which objects are to be looked at: each once, however often it is named; after a failure later, and later still."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 60.0


class WorkQueue(Generic[T]):
    """Keys in the order in which they were named. One that is being worked on and named again comes again after."""

    def __init__(self) -> None:
        self._waiting: dict[T, None] = {}
        self._working: set[T] = set()
        self._again: set[T] = set()
        self._failures: dict[T, int] = {}
        self._retries: dict[T, asyncio.TimerHandle] = {}
        self._there = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait or are worked on; those that wait for their retry are not among them."""
        return len(self._waiting) + len(self._working)

    def add(self, key: T) -> None:
        """Something happened to it."""
        timer = self._retries.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._working:
            self._again.add(key)
        else:
            self._waiting[key] = None
            self._there.set()

    def add_later(self, key: T, wait_s: float) -> None:
        """It is to be looked at after so many seconds, if nothing happens to it before."""
        timer = self._retries.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._retries[key] = asyncio.get_running_loop().call_later(wait_s, self.add, key)

    async def take(self) -> T:
        """The next one; to be given back by `done` or `failed`."""
        while not self._waiting:
            self._there.clear()
            await self._there.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._working.add(key)
        return key

    def done(self, key: T) -> None:
        """It was looked at."""
        self._failures.pop(key, None)
        self._leave(key)

    def failed(self, key: T) -> float:
        """It could not be. Returns: after how many seconds it comes again, unless it is named before."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        wait_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(failures - 1, 10))
        if key in self._again:
            self._leave(key)
        else:
            self._working.discard(key)
            self.add_later(key, wait_s)
        return wait_s

    def _leave(self, key: T) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
