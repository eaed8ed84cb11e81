"""The server side of HTTP/1: bytes from a client in, requests out, one at a time and in order.

Parsing is httptools' (llhttp, strict: conflicting lengths and bare line feeds are refused). A request is handed on
once its body is complete; what a client pipelines behind it waits, bounded, with reading paused when that is full.
A client that ends its side of the connection counts as gone, as it does to nginx: its request is cancelled.

It does not know what a request means: `Handler` does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from penstock.errors import ClientError, GatewayError, Overloaded
from penstock.gateway.errors import error_response
from penstock.gateway.head import Header, Request, first, request_id
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


class ClientConnection(asyncio.Protocol):
    """One connection of a client."""

    __slots__ = (
        "_began",
        "_body",
        "_body_bytes",
        "_clock",
        "_connections",
        "_handler",
        "_head_bytes",
        "_head_done",
        "_headers",
        "_limits",
        "_owes_continue",
        "_parser",
        "_parsing",
        "_paused_reading",
        "_paused_writing",
        "_queue",
        "_refused",
        "_request",
        "_url",
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
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Request | GatewayError] = deque()
        self._url = b""
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self._head_bytes = self._body_bytes = 0
        self._parsing = self._began = self._head_done = self._refused = self._owes_continue = False
        self._paused_reading = self._paused_writing = False
        self._request: Request | None = None
        self.current: Request | None = None  # being answered
        self.source: Source | None = None
        self.closing = False  # close after the answer
        self.touched_s = clock()
        self.transport: asyncio.Transport | None = None

    # --- from the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base class
        if len(self._connections) >= self._limits.connections:
            self._refuse(Overloaded("too many connections", retry_after_s=1.0, code="too_many_connections"))
            return
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # lingering: read and drop
        self.touched_s = self._clock()
        self._began = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            self._ignore_upgrade(data[offered.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse(ClientError(f"malformed HTTP: {error}", code="malformed_http"))
            return
        if self._parsing and not self._head_done and not self._began:
            # The read in which a head began may hold other things before it: count from the next one.
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                self._refuse(_head_too_large(self._limits))
        self._next()

    def eof_received(self) -> None:
        return None  # closes; see the module docstring

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._connections.discard(self)
        self._queue.clear()
        self._body.clear()
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

    # --- from httptools ---

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._body = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._head_done = False
        self._parsing = self._began = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._head_done = True
        if self._parser.should_upgrade():
            return  # the parser stops here; see `_ignore_upgrade`
        headers = self._headers
        size = len(self._url) + sum([len(name) + len(value) for name, value in headers]) + 4 * len(headers)
        if self._refused:
            return
        if size > self._limits.head_bytes:
            self._refuse(_head_too_large(self._limits))
            return
        length = first(headers, b"content-length")
        if length is not None and int(length) > self._limits.body_bytes:
            self._refuse(_body_too_large(self._limits))
            return
        http_10 = self._parser.get_http_version() == "1.0"
        path, _, query = self._url.partition(b"?")
        self._request = Request(
            method=self._parser.get_method(),
            path=path,
            query=query,
            headers=headers,
            http_10=http_10,
            keep_alive=not http_10 and self._parser.should_keep_alive(),
            id=request_id(headers),
            arrived_s=self._clock(),
        )
        expectation = first(headers, b"expect")
        if expectation is not None and not http_10:
            if expectation.lower() != b"100-continue":
                self._refuse(ClientError("unknown expectation", status=417, code="expectation_failed"))
            elif self.current is None and not self._queue:
                self._write(_CONTINUE)
            else:
                self._owes_continue = True

    def on_body(self, body: bytes) -> None:
        if self._refused:
            return
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._body.clear()
            self._refuse(_body_too_large(self._limits))

    def on_message_complete(self) -> None:
        self._parsing = self._owes_continue = False
        request = self._request
        self._request = None
        if self._refused or request is None:
            return
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self._queue.append(request)
        if len(self._queue) > self._limits.pipelined:
            self._queue.pop()
            self._refuse(Overloaded("too many pipelined requests", retry_after_s=1.0, status=429))

    # --- to whoever answers ---

    def write(self, data: bytes) -> None:
        """Send bytes of the answer to the current request."""
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
        """Called every second or so: close what has been silent for too long."""
        if self.current is not None or self.transport is None:
            return
        silent_s = now_s - self.touched_s
        if self._parsing:
            if silent_s > self._limits.receive_timeout_s:
                self._refuse(ClientError("the request did not arrive in time", status=408, code="request_timeout"))
                self._next()
        elif silent_s > self._limits.idle_timeout_s:
            self.transport.close()

    # --- inside ---

    def _next(self) -> None:
        """Hand on the next request, if none is being answered."""
        while self._queue and self.current is None and self.transport is not None:
            item = self._queue.popleft()
            if isinstance(item, GatewayError):
                self._answer_refusal(item)
                return
            self.current = item
            self._handler.handle(item, self)
        if self.current is None and self._owes_continue:
            self._owes_continue = False
            self._write(_CONTINUE)
        full = len(self._queue) >= self._limits.pipelined // 2
        if full != self._paused_reading and self.transport is not None and not self.transport.is_closing():
            self._paused_reading = full
            if full:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """No upgrade is taken: read the request again as if none had been offered, then what follows its head."""
        line = b"%b %b HTTP/1.1\r\n" % (self._parser.get_method(), self._url)
        kept = [b"%b: %b\r\n" % header for header in self._headers if header[0] not in (b"upgrade", b"connection")]
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(line + b"".join(kept) + b"\r\n" + rest)

    def _refuse(self, error: GatewayError) -> None:
        """Answer with an error, after what came before it, and take nothing more from this connection."""
        if self._refused:
            return
        self._refused = True
        self._handler.refused(error)
        self._queue.append(error)
        if self.current is None:
            self._next()

    def _answer_refusal(self, error: GatewayError) -> None:
        identity = self._request.id if self._request is not None else b""
        self._write(error_response(error, request_id=identity, keep_alive=False))
        self._queue.clear()
        self._close()

    def _write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def _close(self) -> None:
        transport = self.transport
        if transport is None:
            return
        if self._refused and transport.can_write_eof():
            # Closing with bytes unread would reset the connection and could destroy our answer on its way.
            transport.write_eof()
            asyncio.get_running_loop().call_later(_LINGER_S, transport.close)
        else:
            transport.close()


def _head_too_large(limits: WireLimits) -> ClientError:
    return ClientError(f"the request's head exceeds {limits.head_bytes} bytes", status=431, code="head_too_large")


def _body_too_large(limits: WireLimits) -> ClientError:
    return ClientError(f"the body exceeds {limits.body_bytes} bytes", status=413, code="body_too_large")
