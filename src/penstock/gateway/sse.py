"""Counts tokens in a stream of server-sent events as its bytes pass, without parsing them.

An event begins at `data:` on a line start, and engines send one event per token (per step, if they speculate). Inside
JSON a newline or a quote is always escaped, so text of the model is never counted. Chunk framing also ends in a
newline, so raw chunked bytes can be counted as they are. Events without a token are told by a few literal marks: the
opening role, a closing empty delta, `usage`, `[DONE]`. Only the last bytes are kept, to read `usage` at the end.

Reads may be cut anywhere, so marks are also looked for across two reads. Where a chunk mark stands within an event
that an engine wrote in two chunks, that may fail: then an event without a token counts as one.

Sources: WHATWG HTML, 9.2 (server-sent events); the streams of vLLM 0.32.
"""

import re

import orjson

from penstock.gateway.usage import Usage, usage_of

_MARK = b"\ndata:"
_DONE = b"\ndata: [DONE]"
_LINE, _DONE_LINE = _MARK[1:], _DONE[1:]
_NO_CHOICES = b'"choices":[]'
_NO_DELTA = b'"delta":{}'
_EDGE = len(_DONE) - 1  # what is kept of a read, for the longest mark
_TAIL_BYTES = 4096  # usage is in the last event or the last but one; such an event has a few hundred bytes
_READS = 32
_USAGE = re.compile(rb'"usage": ?\{')  # no text of a model: there its quotes would be escaped
_FIRST_EVENT = re.compile(rb"(?:^|\n)data:[^\n]*\n")
_ROLE_ONLY = re.compile(rb'"delta": ?\{"role": ?"assistant"(, ?"content": ?(""|null))?[,}]')


class TokenCounter:
    """Counts the tokens of one stream. `add` is on the hot path: a few searches in C per read."""

    __slots__ = ("_edge", "_events", "_opening", "_recent", "tokens")

    def __init__(self) -> None:
        self.tokens = 0
        self._events = 0
        self._edge = b"\n"  # the stream begins at a line start
        self._opening = b""  # the first event, as long as it is not complete
        self._recent: list[bytes] = []

    def add(self, data: bytes) -> int:
        """Count the tokens of the events that begin in `data`, or across it and what came before; returns how many."""
        if not self._events:
            data = self._opening + data
            if len(data) < _TAIL_BYTES and _FIRST_EVENT.search(data) is None:
                self._opening = data
                return 0
            self._opening = b""
        edge = self._edge
        found = data.count(_MARK)
        without = data.count(_DONE) + data.count(_NO_CHOICES) + data.count(_NO_DELTA)
        if not edge.endswith(b"\n"):  # the read before ended within a line
            found += _across(edge, data, _MARK)
            without += _across(edge, data, _DONE) + _across(edge, data, _NO_CHOICES) + _across(edge, data, _NO_DELTA)
        elif data.startswith(_LINE):
            found += 1
            without += data.startswith(_DONE_LINE)
        self._edge = data[-_EDGE:] if len(data) >= _EDGE else (edge + data)[-_EDGE:]
        recent = self._recent
        recent.append(data if len(data) <= _TAIL_BYTES else data[-_TAIL_BYTES:])
        if len(recent) == _READS:
            recent[:] = [b"".join(recent)[-_TAIL_BYTES:]]
        if not self._events and found and _ROLE_ONLY.search(data):
            without += 1
        self._events += found
        tokens = found - without  # below 0, if what began in the read before turns out to be no token
        self.tokens += tokens
        return max(0, tokens)

    @property
    def tail(self) -> bytes:
        """The last bytes that passed, 4 KiB of them if there were as many."""
        return b"".join(self._recent)[-_TAIL_BYTES:]

    @property
    def done(self) -> bool:
        """Whether the stream said `[DONE]`."""
        return _DONE in b"\n" + self.tail

    @property
    def between_events(self) -> bool:
        """Whether what passed ends with a whole event, so that another may follow."""
        return self._edge.endswith((b"\n\n", b"\n\n\r\n")) if self._events else not self._opening

    def usage(self) -> Usage | None:
        """What the engine counted, if the client asked for it (`stream_options.include_usage`)."""
        tail = self.tail
        marks = list(_USAGE.finditer(tail))
        if not marks:
            return None
        last = marks[-1]
        start, end = tail.rfind(b"data:", 0, last.start()), tail.find(b"\n", last.end())
        try:
            return usage_of(orjson.loads(tail[start + len(b"data:") : end]))
        except orjson.JSONDecodeError:
            return None


def _across(edge: bytes, data: bytes, mark: bytes) -> int:
    """How often a mark begins in one read and ends in the next."""
    return (edge[1 - len(mark) :] + data[: len(mark) - 1]).count(mark)
