"""The holding room: requests that wait because no worker can take them. First come, first served, bounded, timed.

Its size is the demand that wakes a pool from zero. It knows nothing of workers: whoever sees that some may be ready
calls `open_doors`, then each request tries again in the order of its arrival; one that finds no place comes back to
the position it had.
"""

import asyncio
from collections.abc import Callable
from itertools import count

from penstock.errors import Overloaded

RETRY_AFTER_S = 5.0  # told to those turned away: about a warm start


class Ticket:
    """One request's place in the queue, kept until it is served."""

    __slots__ = ("deadline_s", "number", "waiter")

    def __init__(self, number: int, deadline_s: float) -> None:
        self.number = number
        self.deadline_s = deadline_s
        self.waiter: asyncio.Future[bool] | None = None  # True: try again; False: too late


class HoldingRoom:
    """Holds requests in order of arrival."""

    def __init__(self, *, places: int, timeout_s: float, clock: Callable[[], float]) -> None:
        self._places = places
        self._timeout_s = timeout_s
        self._clock = clock
        self._numbers = count()
        self._held: dict[int, Ticket] = {}  # in order of arrival, but for those who came back
        self._closed = False

    def __len__(self) -> int:
        """Requests held now, those about to try again included."""
        return len(self._held)

    def enter(self, ticket: Ticket | None = None) -> Ticket:
        """Take a place, or take an earlier one again. Raises: Overloaded, if there is none."""
        if ticket is not None:
            self._held[ticket.number] = ticket
            return ticket
        if self._closed or len(self._held) >= self._places:
            what = (
                "no worker is ready" if self._places == 0 else "no worker is ready and too many requests wait already"
            )
            raise Overloaded(what, retry_after_s=RETRY_AFTER_S, code="no_worker_ready")
        ticket = Ticket(next(self._numbers), self._clock() + self._timeout_s)
        self._held[ticket.number] = ticket
        return ticket

    async def wait(self, ticket: Ticket) -> None:
        """Wait for the doors to open. Raises: Overloaded, at the ticket's deadline or when the room closes."""
        if self._closed:
            raise self._too_late()
        loop = asyncio.get_running_loop()
        ticket.waiter = loop.create_future()
        timer = loop.call_later(max(0.0, ticket.deadline_s - self._clock()), _tell, ticket, False)
        try:
            if not await ticket.waiter:
                raise self._too_late()
        finally:
            timer.cancel()
            ticket.waiter = None

    def leave(self, ticket: Ticket) -> None:
        """Give the place up: the request was placed, refused, or its client is gone. The next in order may try."""
        if self._held.pop(ticket.number, None) is not None and self._held:
            # Somebody may have come after the doors opened, and wait only because others did.
            _tell(self._held[next(iter(self._held))], True)

    def open_doors(self) -> None:
        """Let every request try again, in order of arrival."""
        for number in sorted(self._held):
            _tell(self._held[number], True)

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._held)

    def close(self) -> None:
        """Turn everybody away: the gateway ends."""
        self._closed = True
        for ticket in self._held.values():
            _tell(ticket, False)

    def _too_late(self) -> Overloaded:
        if self._closed:
            return Overloaded("the gateway is shutting down", retry_after_s=1.0, code="shutting_down")
        return Overloaded(
            f"no worker became ready within {self._timeout_s:g} s", retry_after_s=RETRY_AFTER_S, code="no_worker_ready"
        )


def _tell(ticket: Ticket, again: bool) -> None:
    if ticket.waiter is not None and not ticket.waiter.done():
        ticket.waiter.set_result(again)
