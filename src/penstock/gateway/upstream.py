"""A connection to a worker: one request at a time, kept open and used again.

Only the head of a response is read here. What follows goes through httptools too, but without a callback for bodies:
at 0.05 µs a read it finds the message's end and checks its framing, while the bytes themselves are handed on as they
came, chunk marks and all. Bytes behind the end of a message are never handed on: they could pass for the next answer.

A kept connection that its worker closed before a byte of the answer is no failure of the worker: the worker may close
an idle connection at any time, and the two can cross (RFC 9112, 9.3.1). `Lost.stale` tells it apart.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools

from penstock.errors import InputError
from penstock.gateway.head import Header, first
from penstock.gateway.settings import UpstreamLimits

_HEAD_END = b"\r\n\r\n"
STALLED = "stalled"
_STALE_WITHIN_S = 1.0  # a close that crossed with our request is seen at once; later ones are the worker's failure
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a worker's API is."""

    host: str
    port: int
    prefix: bytes = b""

    @property
    def host_header(self) -> bytes:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{shown}:{self.port}".encode()


def parse_address(url: str, *, where: str = "worker URL") -> Address:
    """Read a worker's base URL. Raises: InputError."""
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError as error:
        raise InputError(where, f"{url!r} is no URL ({error})", "write it like http://127.0.0.1:9001") from error
    if parts.scheme != "http" or not parts.hostname or parts.query or parts.fragment:
        raise InputError(where, f"{url!r} is no plain http URL", "write it like http://127.0.0.1:9001")
    return Address(parts.hostname, port, parts.path.rstrip("/").encode())


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Head of a worker's response. `length` is None unless the worker told it."""

    status: int
    headers: list[Header]
    chunked: bool
    length: int | None

    @property
    def until_close(self) -> bool:
        """Whether only the end of the connection ends the body."""
        return not self.chunked and self.length is None


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection ended before its response did.

    Args:
        reason: one word for logs and metrics: closed, reset, malformed, silent, or stalled (our client did not read).
        stale: a kept connection, closed before any byte of the response came.
        at_chunk_end: a chunked body broke off between two chunks, so another chunk could follow.
    """

    reason: str
    stale: bool = False
    at_chunk_end: bool = False


class Sink(Protocol):
    """Takes one response. After `end` or `lost` nothing more comes."""

    def head(self, head: ResponseHead) -> None: ...
    def body(self, data: bytes) -> None: ...
    def end(self) -> None: ...
    def lost(self, lost: Lost) -> None: ...


class Owner(Protocol):
    """Who keeps connections between requests."""

    def give_back(self, connection: "UpstreamConnection") -> None: ...
    def gone(self, connection: "UpstreamConnection") -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """One connection to a worker."""

    __slots__ = (
        "_begun",
        "_buffer",
        "_clock",
        "_complete",
        "_head",
        "_headers",
        "_keep",
        "_limits",
        "_messages",
        "_owner",
        "_parser",
        "_paused",
        "_sink",
        "address",
        "touched_s",
        "transport",
        "used",
    )

    def __init__(self, owner: Owner, address: Address, limits: UpstreamLimits, clock: Callable[[], float]) -> None:
        self._owner = owner
        self._limits = limits
        self._clock = clock
        self._parser: httptools.HttpResponseParser | None = None
        self._sink: Sink | None = None
        self._buffer = b""
        self._headers: list[Header] = []
        self._head: ResponseHead | None = None
        self._begun = self._complete = False
        self._keep = True
        self._paused = False
        self._messages = 0
        self.address = address
        self.used = 0  # requests sent so far
        self.touched_s = clock()
        self.transport: asyncio.Transport | None = None

    @property
    def open(self) -> bool:
        """Whether a request may be sent on it."""
        return self.transport is not None and not self.transport.is_closing() and self._keep

    def send(self, sink: Sink, head: bytes, body: bytes) -> None:
        """Send a request; its response goes to `sink`. Must be idle and open."""
        assert self._sink is None
        assert self.transport is not None
        self._sink = sink
        self._buffer = b""
        self._headers = []
        self._head = None
        self._begun = self._complete = False
        self._messages = 0
        self._parser = httptools.HttpResponseParser(self)
        self.used += 1
        self.touched_s = self._clock()
        if len(body) < 65_536:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)

    def cancel(self, sink: Sink) -> None:
        """This sink wants no more: cut the connection, so that the worker stops at once.

        Nothing happens, if its response has ended: by now the connection may serve somebody else.
        """
        if self._sink is sink:
            self._sink = None
            self.drop()

    def drop(self) -> None:
        """Cut the connection. Who waits for a response is told that it is lost."""
        self._keep = False
        if self.transport is not None:
            self.transport.abort()

    def pause(self) -> None:
        self._paused = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        self._paused = False
        self.touched_s = self._clock()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def sweep(self, now_s: float, silence_timeout_s: float) -> None:
        """Give up on a response that has been silent for too long."""
        if self._sink is not None and now_s - self.touched_s > silence_timeout_s:
            self._fail(STALLED if self._paused else "silent")

    # --- from the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base class

    def data_received(self, data: bytes) -> None:
        sink = self._sink
        if sink is None:
            self.drop()  # an answer that nobody asked for
            return
        self.touched_s = self._clock()
        self._begun = True
        if self._head is None:
            self._read_head(data)
            return
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]
        except httptools.HttpParserError:
            self._fail("malformed")
            return
        if self._complete:
            self._finish(data)
        else:
            sink.body(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        sink, self._sink = self._sink, None
        self._owner.gone(self)
        if sink is None:
            return
        if exc is None and self._keep and self._head is not None and self._head.until_close:
            sink.end()
        else:
            stale = self.used > 1 and not self._begun and self._clock() - self.touched_s < _STALE_WITHIN_S
            sink.lost(Lost("closed" if exc is None else "reset", stale=stale, at_chunk_end=self._between_chunks()))

    # --- from httptools ---

    def on_message_begin(self) -> None:
        self._messages += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is None:  # else a trailer: it must not pass for a header
            self._headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        assert self._parser is not None
        self._complete = True
        self._keep = self._parser.should_keep_alive()

    # --- inside ---

    def _read_head(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while True:
            end = buffer.find(_HEAD_END) + len(_HEAD_END)
            if end < len(_HEAD_END):
                self._buffer = buffer
                if len(buffer) > self._limits.head_bytes:
                    self._fail("malformed")
                return
            head = self._parse_head(buffer[:end])
            if head is None:
                self._fail("malformed")
                return
            buffer = buffer[end:]
            if head.status >= 200:
                break
            self._headers = []  # 100, 103: not the answer yet
            self._complete = False
            self._messages = 0
            self._parser = httptools.HttpResponseParser(self)
        self._buffer = b""
        self._head = head
        sink = self._sink
        assert sink is not None
        sink.head(head)
        if self._sink is not sink:
            return  # cancelled by what it saw
        if self._complete:  # no body at all
            self._finish(buffer, bare=True)
        elif buffer:
            self.data_received(buffer)

    def _parse_head(self, raw: bytes) -> ResponseHead | None:
        parser = self._parser
        assert parser is not None
        try:
            if len(raw) > self._limits.head_bytes:
                return None
            parser.feed_data(raw)
        except httptools.HttpParserError:
            return None
        status = parser.get_status_code()
        if status == 101:
            return None
        coding, length = first(self._headers, b"transfer-encoding"), first(self._headers, b"content-length")
        chunked = coding is not None and coding.lower() == b"chunked"
        if coding is not None and not chunked:
            return None  # a coding that we did not ask for, and could not end
        if self._complete:
            length = b"0"
        return ResponseHead(status, self._headers, chunked, None if length is None else int(length))

    def _finish(self, data: bytes, *, bare: bool = False) -> None:
        """The message is complete with `data`, unless bytes behind its end came along."""
        if self._messages > 1 or (bare and data):
            self._fail("malformed")
            return
        sink, self._sink = self._sink, None
        assert sink is not None
        if data:
            sink.body(data)
        self._owner.give_back(self)
        sink.end()

    def _fail(self, reason: str) -> None:
        sink, self._sink = self._sink, None
        at_chunk_end = reason != "malformed" and self._between_chunks()
        self.drop()
        if sink is not None:
            sink.lost(Lost(reason, at_chunk_end=at_chunk_end))

    def _between_chunks(self) -> bool:
        """Ask the parser where in the framing it stands: only between two chunks does a last chunk end the message."""
        if self._head is None or not self._head.chunked or self._complete or self._parser is None:
            return False
        try:
            self._parser.feed_data(_LAST_CHUNK)
        except httptools.HttpParserError:
            return False
        return self._complete
