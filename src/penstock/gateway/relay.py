"""One answer on its way from a worker to a client.

A stream is relayed byte by byte as it comes; its head is held back until the first byte of its body, so that until
then another worker can take the request without the client seeing anything. Any other response is held back whole, up
to a bound, so that it can be retried until its last byte. What has begun to be relayed is *committed*.

Bytes are passed on as they came, chunk marks included, wherever both sides frame alike. Only two odd pairs need a
change: a worker that ends its body by closing (its bytes get chunk marks), and a client of HTTP/1.0 (they lose them).

The seam for continuation: a committed stream whose worker is lost ends in `break_off`; whoever can continue it would
do so there, before it is called.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httptools
import orjson

from penstock.errors import UpstreamError
from penstock.gateway.errors import error_document
from penstock.gateway.head import Header, Request, first, passed_to_client, response_head
from penstock.gateway.meter import StreamMeter
from penstock.gateway.upstream import Lost, ResponseHead, UpstreamConnection
from penstock.gateway.usage import Usage, usage_of
from penstock.gateway.wire import ClientConnection


@dataclass(frozen=True, slots=True)
class Whole:
    """A response that came to its end and was held back: nothing of it has reached the client."""

    head: ResponseHead
    body: bytes

    def usage(self) -> Usage | None:
        """The engine's count of tokens, if this is a JSON answer with one."""
        if self.head.status != 200 or not (first(self.head.headers, b"content-type") or b"").startswith(
            b"application/json"
        ):
            return None
        try:
            return usage_of(orjson.loads(self.body))
        except orjson.JSONDecodeError:
            return None

    def error_code(self) -> str | None:
        """`error.code` of an error in the OpenAI shape."""
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        error = document.get("error") if isinstance(document, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        return code if isinstance(code, str) else None


@dataclass(frozen=True, slots=True)
class Streamed:
    """A response that was relayed to its end."""

    head: ResponseHead


Ending = Whole | Streamed | Lost


class Relay:
    """Takes one response (`upstream.Sink`) for one client. `done` tells how it ended."""

    __slots__ = (
        "_buffer",
        "_buffered",
        "_change",
        "_client",
        "_connection",
        "_extra",
        "_head",
        "_limit",
        "_measured",
        "_meter",
        "_request",
        "_streaming",
        "committed",
        "done",
    )

    def __init__(
        self,
        request: Request,
        client: ClientConnection,
        connection: UpstreamConnection,
        meter: StreamMeter,
        extra: list[Header],
        limit: int,
    ) -> None:
        self.done: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.committed = False
        self._request = request
        self._client = client
        self._connection = connection
        self._meter = meter
        self._extra = extra
        self._limit = limit
        self._head: ResponseHead | None = None
        self._streaming = self._measured = False
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._change: Callable[[bytes], bytes] | None = None

    # --- from the worker ---

    def head(self, head: ResponseHead) -> None:
        self._head = head
        kind = first(head.headers, b"content-type") or b""
        self._streaming = head.status == 200 and kind.startswith(b"text/event-stream")

    def body(self, data: bytes) -> None:
        if self.committed:
            self._pass(data)
        elif self._streaming:
            self._commit(data)
        else:
            self._buffer.append(data)
            self._buffered += len(data)
            if self._buffered > self._limit:
                held, self._buffer = b"".join(self._buffer), []
                self._commit(held)

    def end(self) -> None:
        head = self._head
        assert head is not None
        if not self.committed:
            body = b"".join(self._buffer)
            self._settle(Whole(head, Dechunker()(body) if head.chunked else body))
        elif head.until_close and self._measured and not self._meter.counter.done:
            self._settle(Lost("closed", at_chunk_end=True))  # only `[DONE]` could tell a whole stream from a cut one
        else:
            if head.until_close and not self._request.http_10:
                self._client.write(b"0\r\n\r\n")
            self._settle(Streamed(head))

    def lost(self, lost: Lost) -> None:
        self._buffer.clear()
        self._settle(lost)

    # --- to the client ---

    def break_off(self, lost: Lost) -> None:
        """The worker is gone after the first byte: end the client's answer so that it sees it is not complete."""
        head = self._head
        assert head is not None
        chunked = (head.chunked or head.until_close) and not self._request.http_10
        if (
            chunked
            and self._measured
            and (lost.at_chunk_end or head.until_close)
            and self._meter.counter.between_events
        ):
            event = b"data: " + error_document(broken(lost)) + b"\n\n"
            self._client.write(b"%x\r\n%b\r\n" % (len(event), event))
        if chunked or head.length is not None:
            self._client.cut()  # what is written arrives, and its framing shows that the end is missing
        else:
            self._client.abort()  # here closing in order would look like the end

    def _commit(self, data: bytes) -> None:
        """Send the head and the first bytes: from here on only this worker can answer."""
        head = self._head
        assert head is not None
        headers = [*passed_to_client(head.headers), *self._extra]
        if self._request.http_10:
            headers.append((b"connection", b"close"))
            if head.chunked:
                self._change = Dechunker()
            elif head.length is not None:
                headers.append((b"content-length", b"%d" % head.length))
        elif head.length is not None:
            headers.append((b"content-length", b"%d" % head.length))
        else:
            headers.append((b"transfer-encoding", b"chunked"))
            if head.until_close:
                self._change = _chunk
        if not self._request.keep_alive and not self._request.http_10:
            headers.append((b"connection", b"close"))
        self.committed = True
        self._measured = self._streaming
        self._client.feed_from(self._connection)
        self._client.write(response_head(head.status, headers))
        self._pass(data)

    def _pass(self, data: bytes) -> None:
        self._client.write(data if self._change is None else self._change(data))
        if self._measured:
            self._meter.passed(data)

    def _settle(self, ending: Ending) -> None:
        if not self.done.done():
            self.done.set_result(ending)


class Dechunker:
    """Takes chunk marks off, as bytes come."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def __call__(self, data: bytes) -> bytes:
        self._pieces.clear()
        self._parser.feed_data(data)
        return b"".join(self._pieces)


def broken(lost: Lost) -> UpstreamError:
    """What a client is told of a worker that was lost in the middle of its answer."""
    return UpstreamError(f"the worker was lost while it answered ({lost.reason})", code="worker_lost")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
