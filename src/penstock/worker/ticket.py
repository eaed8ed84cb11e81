"""One request while it is served: how far the engine is with it, and who waits to hear.

The driver writes, the HTTP side reads. A reader that falls behind finds several tokens at once; nothing is queued per
token.
"""

import asyncio
from typing import Any

from penstock.worker.asked import Asked


class Ticket:
    """One request in the engine.

    produced: tokens that are out. finish_reason: set once it is over; `abort`, if it was given up.
    """

    __slots__ = (
        "_waiter",
        "arrived_s",
        "asked",
        "cached_tokens",
        "finish_reason",
        "first_token_s",
        "id",
        "kv_transfer",
        "last_token_s",
        "produced",
        "remote",
        "scheduled_s",
        "watched",
    )

    def __init__(self, ticket_id: int, asked: Asked, *, arrived_s: float, remote: bool) -> None:
        self.id = ticket_id
        self.asked = asked
        self.remote = remote  # its prompt's KV came from a prefill worker
        self.produced = 0
        self.cached_tokens = 0
        self.finish_reason: str | None = None
        self.arrived_s = arrived_s
        self.scheduled_s: float | None = None
        self.first_token_s: float | None = None
        self.last_token_s = arrived_s
        self.kv_transfer: dict[str, Any] | None = None  # where its KV is kept for a decode worker
        self.watched = asked.stream  # whether every token is worth a wake-up, or only the end
        self._waiter: asyncio.Future[None] | None = None

    async def news(self, seen: int) -> None:
        """Return once there are more than `seen` tokens, or it is over; if not watched, only when it is over."""
        while self.finish_reason is None and not (self.watched and self.produced > seen):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def wake(self) -> None:
        """Tell the reader, if it waits and this is news to it."""
        waiter = self._waiter
        if waiter is not None and (self.watched or self.finish_reason is not None):
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
