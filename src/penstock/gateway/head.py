"""Heads of requests and responses: what is kept, what is dropped, what we add. Pure: bytes in, bytes out.

A proxy must not pass on hop-by-hop headers, nor those that the sender lists in `Connection` (RFC 9110, 7.6.1). We
also drop what we set anew: framing, host, request id, and `accept-encoding`, so that tokens can be counted in what
passes (a client that could take gzip can take plain text). Bodies are framed anew towards the worker, always with
`content-length`, so the two sides can never disagree on where a request ends.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

Header = tuple[bytes, bytes]  # name in lower case, value

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_NOT_TO_WORKER = HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"expect",
    b"x-request-id",
    b"accept-encoding",
    b"x-penstock-explain",
}
_NOT_TO_CLIENT = HOP_BY_HOP | {b"content-length", b"x-request-id", b"x-penstock-worker", b"x-penstock-explain"}
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@~-]{1,128}")


@dataclass(slots=True)
class Request:
    """A request as it came over the wire; the body is complete."""

    method: bytes
    path: bytes
    query: bytes
    headers: list[Header]
    http_10: bool
    keep_alive: bool
    id: bytes
    arrived_s: float
    body: bytes = field(default=b"", repr=False)  # prompts stay out of logs

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        return first(self.headers, name)


def first(headers: Iterable[Header], name: bytes) -> bytes | None:
    """The first value of a header, by its lower-case name."""
    for key, value in headers:
        if key == name:
            return value
    return None


def request_id(headers: Iterable[Header]) -> bytes:
    """The client's `X-Request-Id` if it is short and printable, else a new one."""
    given = first(headers, b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return os.urandom(12).hex().encode()


def response_head(status: int, headers: Iterable[Header]) -> bytes:
    """Status line and headers, up to and with the empty line."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return line + b"".join([b"%b: %b\r\n" % header for header in headers]) + b"\r\n"


def request_head(request: Request, host: bytes, path: bytes, content_length: int) -> bytes:
    """The head that a worker gets for a client's request."""
    dropped = _not_passed(request.headers, _NOT_TO_WORKER)
    fields = [b"%b: %b\r\n" % header for header in request.headers if header[0] not in dropped]
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (
        request.method,
        path,
        host,
        b"".join(fields),
        request.id,
        content_length,
    )


def passed_to_client(headers: list[Header]) -> list[Header]:
    """The headers of a worker's response that its client gets; framing is for the caller to add."""
    dropped = _not_passed(headers, _NOT_TO_CLIENT)
    return [header for header in headers if header[0] not in dropped]


def _not_passed(headers: list[Header], dropped: frozenset[bytes]) -> frozenset[bytes]:
    named = first(headers, b"connection")
    if named is None or named.lower() in (b"keep-alive", b"close"):
        return dropped
    return dropped | {name.strip().lower() for name in named.split(b",")}
