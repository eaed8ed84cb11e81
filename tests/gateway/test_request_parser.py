"""Bytes to requests, without a socket: the same however they are cut; bounded, whatever comes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import GatewayError
from penstock.gateway.head import Request
from penstock.gateway.request_parser import RequestParser
from penstock.gateway.settings import WireLimits

LIMITS = WireLimits(head_bytes=500, body_bytes=100)
STREAM = (
    b"POST /a?b=c HTTP/1.1\r\nHost: g\r\nX-Request-Id: one\r\ncontent-length: 5\r\n\r\nhello"
    b"POST /two HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nx-late: 1\r\n\r\n"
    b"GET /three HTTP/1.1\r\nhost: g\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    b"PUT /four HTTP/1.1\r\nhost: g\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx"
    b"GET /five HTTP/1.0\r\n\r\n"
)


class Notes:
    """What came out."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.expected = 0
        self.refusals: list[tuple[int, bytes]] = []

    def received(self, request: Request) -> None:
        self.requests.append(request)

    def expects_continue(self) -> None:
        self.expected += 1

    def refused(self, error: GatewayError, request_id: bytes) -> None:
        self.refusals.append((error.status, request_id))


def parsed(*pieces: bytes) -> Notes:
    notes = Notes()
    parser = RequestParser(notes, LIMITS, lambda: 1.0)
    for piece in pieces:
        parser.feed(piece)
    return notes


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_requests_come_out_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    edges = sorted({0, len(STREAM), *cuts})
    notes = parsed(*(STREAM[a:b] for a, b in itertools.pairwise(edges)))
    assert not notes.refusals
    assert notes.expected == 1
    told = [(r.method, r.path, r.query, r.body, r.keep_alive) for r in notes.requests]
    assert told == [
        (b"POST", b"/a", b"b=c", b"hello", True),
        (b"POST", b"/two", b"", b"hello", True),
        (b"GET", b"/three", b"", b"", True),
        (b"PUT", b"/four", b"", b"x", True),
        (b"GET", b"/five", b"", b"", False),
    ]
    assert notes.requests[0].id == b"one"
    assert dict(notes.requests[1].headers) == {b"host": b"g", b"transfer-encoding": b"chunked"}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 600 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 1000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\ncontent-length: 101\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n65\r\n" + b"y" * 101, 413),
        (b"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: a\nb: c\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nexpect: miracles\r\n\r\n", 417),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_is_refused_is_refused_once_and_nothing_comes_after_it(data: bytes, status: int, size: int) -> None:
    whole = data + b"GET /after HTTP/1.1\r\n\r\n" * 3
    notes = parsed(*(whole[at : at + size] for at in range(0, len(whole), size)))
    assert [refused for refused, _ in notes.refusals] == [status]
    assert notes.requests == []


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nx: ", b"GET / HTTP/1.1\r\n"])
def test_a_head_without_end_is_refused(start: bytes) -> None:
    piece = b"y" * 100 if not start.endswith(b"\n") else b"x: yyyy\r\n" * 10
    assert [status for status, _ in parsed(start, *[piece] * 20).refusals] == [431]


@given(st.binary(max_size=300))
def test_nothing_raises(data: bytes) -> None:
    parsed(data, data)
    parsed(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", data)
