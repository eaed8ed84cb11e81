"""A deployment whose supervisor is this process, gateway and workers in theirs: for tests that reach into it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from clients import Clients


async def until(holds: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait for what has no event."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@asynccontextmanager
async def asking_meanwhile(clients: Clients) -> AsyncIterator[Clients]:
    """Clients who ask until the end of the block; the event loop goes on while they finish."""
    clients.begin()
    try:
        yield clients
    finally:
        await asyncio.to_thread(clients.end)
