"""Which objects are looked at, and when again."""

import asyncio

from penstock.kubernetes.lease import may_take
from penstock.operator.queue import FIRST_RETRY_S, LAST_RETRY_S, WorkQueue


def test_a_key_that_is_named_often_is_looked_at_once() -> None:
    async def test() -> None:
        queue: WorkQueue[str] = WorkQueue()
        for key in ("a", "b", "a"):
            queue.add(key)
        assert [await queue.take(), await queue.take()] == ["a", "b"]
        assert len(queue) == 2

    asyncio.run(test())


def test_what_happens_while_it_is_worked_on_is_not_missed() -> None:
    """And never are two at the same key."""

    async def test() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        key = await queue.take()
        queue.add("a")
        other = asyncio.ensure_future(queue.take())
        await asyncio.sleep(0)
        assert not other.done()
        queue.done(key)
        assert await other == "a"

    asyncio.run(test())


def test_a_failure_comes_again_later_and_later_but_at_once_if_something_happened() -> None:
    async def test() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        waits = []
        for _ in range(12):
            waits.append(queue.failed(await queue.take()))
            queue.add("a")
        assert waits[:3] == [FIRST_RETRY_S, 2 * FIRST_RETRY_S, 4 * FIRST_RETRY_S]
        assert waits[-1] == LAST_RETRY_S
        queue.done(await queue.take())
        queue.add("a")
        assert queue.failed(await queue.take()) == FIRST_RETRY_S, "success forgets the failures"
        assert await asyncio.wait_for(queue.take(), 5) == "a"

    asyncio.run(test())


def test_who_may_take_a_lease() -> None:
    held = {"holderIdentity": "other", "leaseDurationSeconds": 15}
    assert may_take({}, "me", unchanged_for_s=0)
    assert may_take({"holderIdentity": "me"}, "me", unchanged_for_s=0)
    assert not may_take(held, "me", unchanged_for_s=15)
    assert may_take(held, "me", unchanged_for_s=15.1)
