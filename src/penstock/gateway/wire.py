"""The server side of HTTP/1: the requests of one connection (`request_parser`), answered one at a time and in order.

What a client pipelines behind a request waits, with reading paused when that is much, and until the client has read
what it was answered before. A client that ends its side of the connection counts as gone, as it does to nginx: its
request is cancelled.

It does not know what a request means: `Handler` does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from penstock.errors import ClientError, GatewayError, Overloaded
from penstock.gateway.errors import error_response
from penstock.gateway.head import Request
from penstock.gateway.request_parser import RequestParser
from penstock.gateway.settings import WireLimits

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINGER_S = 1.0  # after a refusal mid-body, so that the client reads it before a reset can destroy it


class Source(Protocol):
    """Where a response comes from; told to pause while its client cannot take more."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Handler(Protocol):
    """Answers requests. `handle` must end in `client.finish` or `client.abort`, at once or later."""

    def handle(self, request: Request, client: "ClientConnection") -> None: ...
    def refused(self, error: GatewayError) -> None: ...
    def client_gone(self, client: "ClientConnection") -> None: ...


class Refusal(NamedTuple):
    """What is answered in place of a request that is not taken."""

    error: GatewayError
    request_id: bytes


class ClientConnection(asyncio.Protocol):
    """One connection of a client."""

    __slots__ = (
        "_clock",
        "_connections",
        "_handing_on",
        "_handler",
        "_limits",
        "_owes_continue",
        "_parser",
        "_paused_reading",
        "_paused_writing",
        "_queue",
        "_unsent_bytes",
        "closing",
        "current",
        "source",
        "touched_s",
        "transport",
    )

    def __init__(
        self, handler: Handler, connections: "set[ClientConnection]", limits: WireLimits, clock: Callable[[], float]
    ) -> None:
        self._handler = handler
        self._connections = connections
        self._limits = limits
        self._clock = clock
        self._parser = RequestParser(self, limits, clock)
        self._queue: deque[Request | Refusal] = deque()
        self._owes_continue = self._paused_reading = self._paused_writing = self._handing_on = False
        self._unsent_bytes = 0  # at the last sweep
        self.current: Request | None = None  # being answered
        self.source: Source | None = None
        self.closing = False  # close after the answer
        self.touched_s = clock()
        self.transport: asyncio.Transport | None = None

    # --- from the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base class
        if len(self._connections) >= self._limits.connections:
            self._parser.refuse(Overloaded("too many connections", retry_after_s=1.0, code="too_many_connections"))
            return
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.touched_s = self._clock()
        self._parser.feed(data)
        self._next()

    def eof_received(self) -> None:
        return None  # closes; see the module docstring

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._connections.discard(self)
        self._queue.clear()
        if self.current is not None:
            self.current = None
            self._handler.client_gone(self)

    def pause_writing(self) -> None:
        self._paused_writing = True
        if self.source is not None:
            self.source.pause()

    def resume_writing(self) -> None:
        self._paused_writing = False
        if self.source is not None:
            self.source.resume()
        self._next()

    # --- from the parser (`request_parser.Receiver`) ---

    def received(self, request: Request) -> None:
        self._owes_continue = False
        self._queue.append(request)

    def expects_continue(self) -> None:
        if self.current is None and not self._queue:
            self.write(_CONTINUE)
        else:
            self._owes_continue = True

    def refused(self, error: GatewayError, request_id: bytes) -> None:
        """Answer with an error, after what came before it; then close."""
        self._owes_continue = False
        self._handler.refused(error)
        self._queue.append(Refusal(error, request_id))
        if self.current is None:
            self._next()

    # --- to whoever answers ---

    def write(self, data: bytes) -> None:
        """Send bytes of an answer."""
        if self.transport is not None:
            self.transport.write(data)

    def feed_from(self, source: Source) -> None:
        """From now on tell `source` to pause and resume."""
        self.source = source
        if self._paused_writing:
            source.pause()

    def finish(self, *, keep_alive: bool) -> None:
        """The current answer is complete. Goes on with the next request, or closes once all is sent."""
        self.current = self.source = None
        self.touched_s = self._clock()
        if self.transport is None:
            return
        if not keep_alive or self.closing:
            self._close()
        else:
            self._next()

    def abort(self) -> None:
        """Cut the connection where it stands, so that the client sees that its answer is not complete."""
        self.current = self.source = None
        self._queue.clear()
        if self.transport is not None:
            self.transport.abort()

    def cut(self) -> None:
        """End an incomplete answer: send what is written, then close without the end that its framing promised."""
        self.current = self.source = None
        self._close()

    def close_when_idle(self) -> None:
        """Close now, or once the current answer is sent; take no further request."""
        self.closing = True
        if self.current is not None:
            self.current.keep_alive = False  # its answer will say so, unless its head is out already
        if self.current is None and self.transport is not None and not self._queue:
            self.transport.close()

    def sweep(self, now_s: float) -> None:
        """Called every second or so: close what has been silent for too long, and cut what does not take the rest."""
        if self.current is not None or self.transport is None:
            return
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes != self._unsent_bytes:  # the client is still reading
            self._unsent_bytes, self.touched_s = unsent_bytes, now_s
        silent_s = now_s - self.touched_s
        if self.transport.is_closing():
            if silent_s > self._limits.flush_timeout_s:
                self.transport.abort()
        elif self._parser.receiving and not self._parser.refused:
            if silent_s > self._limits.receive_timeout_s:
                error = ClientError("the request did not arrive in time", status=408, code="request_timeout")
                self._parser.refuse(error)
        elif silent_s > self._limits.idle_timeout_s:
            self._close()

    # --- inside ---

    def _next(self) -> None:
        """Hand on the next request, if none is being answered and the client has read what it was answered so far."""
        if self._handing_on:
            return  # called from below, by an answer that was given at once
        self._handing_on = True
        while self._queue and self.current is None and self.transport is not None and not self._paused_writing:
            item = self._queue.popleft()
            if isinstance(item, Refusal):
                self._answer_refusal(item)
                break
            self.current = item
            self._handler.handle(item, self)
        self._handing_on = False
        if self.current is None and self._owes_continue:
            self._owes_continue = False
            self.write(_CONTINUE)
        full = bool(self._queue) and self._is_full()
        if full != self._paused_reading and self.transport is not None and not self.transport.is_closing():
            self._paused_reading = full
            if full:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def _is_full(self) -> bool:
        bodies = sum(len(item.body) for item in self._queue if isinstance(item, Request))
        return len(self._queue) >= self._limits.pipelined or bodies >= self._limits.body_bytes

    def _answer_refusal(self, refusal: Refusal) -> None:
        self.write(error_response(refusal.error, request_id=refusal.request_id, keep_alive=False))
        self._close()

    def _close(self) -> None:
        """Take nothing more; close once all is sent."""
        self._queue.clear()
        transport = self.transport
        if transport is None:
            return
        self.touched_s = self._clock()
        if self._parser.refused and transport.can_write_eof():
            # Closing with bytes unread would reset the connection and could destroy our answer on its way.
            transport.write_eof()
            asyncio.get_running_loop().call_later(_LINGER_S, transport.close)
        else:
            transport.close()
