"""A call whose whole answer is wanted here: prefill, and the gateway's own questions to workers. Bounded and timed."""

import asyncio
from dataclasses import dataclass

from penstock.gateway.relay import Dechunker, Whole
from penstock.gateway.upstream import Address, Lost, ResponseHead
from penstock.gateway.upstream_pool import UpstreamPool


class WholeSink:
    """Gathers one response (`upstream.Sink`)."""

    __slots__ = ("_body", "_head", "_limit", "_size", "done")

    def __init__(self, limit: int) -> None:
        self.done: asyncio.Future[Whole | Lost] = asyncio.get_running_loop().create_future()
        self._limit = limit
        self._size = 0
        self._head: ResponseHead | None = None
        self._body: list[bytes] = []

    def head(self, head: ResponseHead) -> None:
        self._head = head

    def body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            self._body.clear()
            self._settle(Lost("too_large"))
        else:
            self._body.append(data)

    def end(self) -> None:
        assert self._head is not None
        body = b"".join(self._body)
        self._settle(Whole(self._head, Dechunker()(body) if self._head.chunked else body))

    def lost(self, lost: Lost) -> None:
        self._settle(lost)

    def _settle(self, ending: Whole | Lost) -> None:
        if not self.done.done():
            self.done.set_result(ending)


@dataclass(frozen=True, slots=True)
class Call:
    """What to send, and what to accept."""

    head: bytes
    body: bytes = b""
    limit_bytes: int = 16 * 1024 * 1024
    timeout_s: float | None = None  # None: the pool's own bound on silence


async def call(pool: UpstreamPool, address: Address, what: Call) -> Whole | Lost:
    """Send a request and wait for its whole answer."""
    try:
        async with asyncio.timeout(what.timeout_s):
            return await pool.ask(address, lambda _: WholeSink(what.limit_bytes), what.head, what.body)
    except TimeoutError:
        return Lost("silent")


def get(address: Address, path: str, *, limit_bytes: int, timeout_s: float) -> Call:
    """A GET of the gateway's own."""
    head = b"GET %b%b HTTP/1.1\r\nhost: %b\r\naccept: */*\r\n\r\n" % (
        address.prefix,
        path.encode(),
        address.host_header,
    )
    return Call(head, limit_bytes=limit_bytes, timeout_s=timeout_s)
