"""What the planner wants of the pools that KEDA scales, kept for whenever KEDA asks. Knows no gRPC.

A count stands until the next decision, since KEDA and its HPA act on it only seconds later. One that nobody looked
after for a minute is no answer: no data is not a count, and KEDA then leaves the replicas as they are, or takes its
fallback.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from penstock.kubernetes.mirror import Key

STALE_S = 60.0  # of looks that come each second
MAX_STREAMS = 8  # of one pool: KEDA's operator has one, and an old one that is not known to be dead


class Unanswered(Exception):
    """There is no count to tell; says why."""


class TooManyStreams(Exception):
    """More follow a pool than KEDA would."""


@dataclass(slots=True)
class _Pool:
    seen_s: float
    current: int
    desired: int | None = None


class KedaCounts:
    """Pools by namespace and name. Args: clock: seconds, from anywhere."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pools: dict[Key, _Pool] = {}
        self._following: dict[Key, set[asyncio.Event]] = {}

    def seen(self, key: Key, current: int) -> None:
        """A pool was looked at, and this is its count."""
        pool = self._pools.setdefault(key, _Pool(self._clock(), current))
        pool.seen_s, pool.current = self._clock(), current

    def want(self, key: Key, desired: int) -> None:
        """A pool was decided. One that is gone by now is left out."""
        pool = self._pools.get(key)
        if pool is None:
            return
        was, pool.desired = pool.desired, desired
        if was is None or (was > 0) != (desired > 0):
            for told in self._following.get(key, ()):
                told.set()

    def only(self, keys: Iterable[Key]) -> None:
        """These are the pools that there are."""
        for gone in self._pools.keys() - set(keys):
            del self._pools[gone]

    def desired(self, key: Key) -> int | None:
        """What was decided last; None before the first decision."""
        pool = self._pools.get(key)
        return pool.desired if pool is not None else None

    def answer(self, key: Key) -> tuple[int, int]:
        """Decided and present count of a pool. Raises: KeyError, for one that is not ours; Unanswered."""
        pool = self._pools[key]
        if pool.desired is None:
            raise Unanswered("the planner has not decided yet")
        silent_s = self._clock() - pool.seen_s
        if silent_s > STALE_S:
            raise Unanswered(f"the planner has not looked at it for {silent_s:.0f} s")
        return pool.desired, pool.current

    async def activity(self, key: Key) -> AsyncIterator[bool]:
        """Whether a pool is wanted at all: once that is known, and at each change. Raises: TooManyStreams."""
        told = asyncio.Event()
        following = self._following.setdefault(key, set())
        if len(following) >= MAX_STREAMS:
            raise TooManyStreams(f"{MAX_STREAMS} streams follow it already")
        following.add(told)
        said: bool | None = None
        try:
            while True:
                desired = self.desired(key)
                if desired is not None and (desired > 0) != said:
                    said = desired > 0
                    yield said
                await told.wait()
                told.clear()
        finally:
            following.discard(told)
            if not following:
                self._following.pop(key, None)
