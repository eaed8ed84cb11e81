"""Bytes of one connection in, requests out. Knows no socket: what comes out goes to a `Receiver`, in order.

Parsing is httptools' (llhttp, strict: conflicting lengths and bare line feeds are refused). A request comes out once
its body is complete. Sizes are bounded; after a refusal nothing more comes.
"""

from collections.abc import Callable
from typing import Protocol

import httptools

from penstock.errors import ClientError, GatewayError
from penstock.gateway.head import Header, Request, first, request_id
from penstock.gateway.settings import WireLimits


class Receiver(Protocol):
    """Takes what the parser finds."""

    def received(self, request: Request) -> None:
        """A request, complete."""

    def expects_continue(self) -> None:
        """The client holds its body back until it is told to go on."""

    def refused(self, error: GatewayError, request_id: bytes) -> None:
        """What comes is not taken: answer with this, and close."""


class RequestParser:
    """Parses the requests of one connection.

    receiving: whether a request has begun and not ended. refused: whether one was refused; the rest is dropped.
    """

    __slots__ = (
        "_began",
        "_body",
        "_body_bytes",
        "_clock",
        "_head_bytes",
        "_head_done",
        "_headers",
        "_limits",
        "_parser",
        "_receiver",
        "_request",
        "_url",
        "receiving",
        "refused",
    )

    def __init__(self, receiver: Receiver, limits: WireLimits, clock: Callable[[], float]) -> None:
        self._receiver = receiver
        self._limits = limits
        self._clock = clock
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self._head_bytes = self._body_bytes = 0
        self._began = self._head_done = False
        self._request: Request | None = None
        self.receiving = self.refused = False

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        if self.refused:
            return
        self._began = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            self._ignore_upgrade(data[offered.args[0] :])
            return
        except httptools.HttpParserError as error:
            self.refuse(ClientError(f"malformed HTTP: {error}", code="malformed_http"))
            return
        if self.receiving and not self._head_done and not self._began:
            # The read in which a head began may hold other things before it: count from the next one.
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                self.refuse(_head_too_large(self._limits))

    def refuse(self, error: GatewayError) -> None:
        """Take nothing more: neither the request that is coming, nor what is behind it."""
        if not self.refused:
            self.refused = True
            self._body.clear()
            self._receiver.refused(error, request_id(self._headers))

    # --- from httptools ---

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._body = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._head_done = False
        self.receiving = self._began = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:  # else a trailer: it must not pass for a header (RFC 9110, 6.5.1)
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._head_done = True
        if self.refused or self._parser.should_upgrade():
            return  # at an upgrade the parser stops; see `_ignore_upgrade`
        headers = self._headers
        size = len(self._url) + sum([len(name) + len(value) for name, value in headers]) + 4 * len(headers)
        if size > self._limits.head_bytes:
            self.refuse(_head_too_large(self._limits))
            return
        length = first(headers, b"content-length")
        if length is not None and int(length) > self._limits.body_bytes:
            self.refuse(_body_too_large(self._limits))
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
            if expectation.lower() == b"100-continue":
                self._receiver.expects_continue()
            else:
                self.refuse(ClientError("unknown expectation", status=417, code="expectation_failed"))

    def on_body(self, body: bytes) -> None:
        if self.refused:
            return
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self.refuse(_body_too_large(self._limits))

    def on_message_complete(self) -> None:
        self.receiving = False
        request = self._request
        self._request = None
        if self.refused or request is None:
            return
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self._receiver.received(request)

    # --- inside ---

    def _ignore_upgrade(self, rest: bytes) -> None:
        """No upgrade is taken: read the request again as if none had been offered, then what follows its head."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            self.refuse(ClientError("this is no proxy to elsewhere", status=405, code="method_not_allowed"))
            return
        kept = [b"%b: %b\r\n" % header for header in self._headers if header[0] not in (b"upgrade", b"connection")]
        self._parser = httptools.HttpRequestParser(self)
        self.feed(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, self._url, b"".join(kept), rest))


def _head_too_large(limits: WireLimits) -> ClientError:
    return ClientError(f"the request's head exceeds {limits.head_bytes} bytes", status=431, code="head_too_large")


def _body_too_large(limits: WireLimits) -> ClientError:
    return ClientError(f"the body exceeds {limits.body_bytes} bytes", status=413, code="body_too_large")
