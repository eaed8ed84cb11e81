"""All connections to all workers: kept between requests, and a request's way over one of them.

A kept connection that turns out to be closed is no failure of its worker (see `upstream.Lost`): the request goes out
again, once, on a new one.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from penstock.gateway.settings import UpstreamLimits
from penstock.gateway.upstream import Address, Lost, Sink, UpstreamConnection

Ending = TypeVar("Ending")


class Receiver(Sink, Protocol[Ending]):
    """A sink that tells how its response ended: what it made of it, or that it is `Lost`."""

    @property
    def done(self) -> "asyncio.Future[Ending]": ...


class UpstreamPool:
    """Connections by address (`upstream.Owner`)."""

    def __init__(self, limits: UpstreamLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._idle: dict[Address, list[UpstreamConnection]] = {}  # no empty lists: addresses come and go
        self._all: set[UpstreamConnection] = set()

    async def ask(
        self,
        address: Address,
        receiver_on: Callable[[UpstreamConnection], Receiver[Ending]],
        head: bytes,
        body: bytes,
    ) -> Ending | Lost:
        """Send a request and wait for the end of its response. Whoever is cancelled here cuts it off at the worker.

        Args:
            receiver_on: makes the sink for one connection; called again, if the first turns out to be closed.
        Returns: what the receiver made of it; `Lost("connect")`, if there is no connection to be had.
        """
        connection = self._take(address)
        while True:
            if connection is None:
                try:
                    connection = await self._connect(address)
                except OSError:  # TimeoutError included
                    return Lost("connect")
            receiver = receiver_on(connection)
            connection.send(receiver, head, body)
            try:
                ending = await receiver.done
            finally:
                connection.cancel(receiver)
            if not (isinstance(ending, Lost) and ending.stale):
                return ending
            self.forget(address)  # the others are as old
            connection = None

    def forget(self, address: Address) -> None:
        """A worker is no longer listed, or has closed: drop its idle connections. Those in use finish."""
        for connection in self._idle.pop(address, ()):
            connection.drop()

    def sweep(self, now_s: float) -> None:
        """Called every second or so: close idle connections that are old, fail busy ones that are silent."""
        for connection in [one for waiting in self._idle.values() for one in waiting]:
            if now_s - connection.touched_s > self._limits.idle_timeout_s:
                connection.drop()
        for connection in list(self._all):
            connection.sweep(now_s, self._limits.silence_timeout_s)

    def close(self) -> None:
        """Cut every connection."""
        for connection in list(self._all):
            connection.drop()

    # --- from connections

    def give_back(self, connection: UpstreamConnection) -> None:
        """Its response is complete: keep it for the next request, if both sides want that."""
        waiting = self._idle.get(connection.address, [])
        if connection.open and len(waiting) < self._limits.idle_connections:
            connection.resume()
            waiting.append(connection)
            self._idle[connection.address] = waiting
        elif connection.transport is not None:
            connection.transport.close()

    def gone(self, connection: UpstreamConnection) -> None:
        """Its transport is closed."""
        self._all.discard(connection)
        waiting = self._idle.get(connection.address)
        if waiting is not None and connection in waiting:
            waiting.remove(connection)
            self._tidy(connection.address)

    # --- inside

    def _take(self, address: Address) -> UpstreamConnection | None:
        """An open connection that waits for work, the one used last; None if there is none."""
        waiting = self._idle.get(address)
        taken = None
        while waiting and taken is None:
            connection = waiting.pop()
            if connection.open:
                taken = connection
        self._tidy(address)
        return taken

    async def _connect(self, address: Address) -> UpstreamConnection:
        """A new connection. Raises: OSError, TimeoutError.

        It is ours only once it is returned: one whose making is cancelled is closed without a word to it.
        """
        async with asyncio.timeout(self._limits.connect_timeout_s):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: UpstreamConnection(self, address, self._limits, self._clock), address.host, address.port
            )
        if not connection.open:
            raise ConnectionResetError
        self._all.add(connection)
        return connection

    def _tidy(self, address: Address) -> None:
        if address in self._idle and not self._idle[address]:
            del self._idle[address]
