"""Counts tokens in a stream of server-sent events as its bytes pass, without parsing them.

An event begins at `data:` on a line start, and engines send one event per token (per step, if they speculate). Inside
JSON a newline or a quote is always escaped, so text of the model is never counted. Chunk framing also ends in a
newline, so raw chunked bytes can be counted as they are. Events without a token are told by a few literal marks: the
opening role, a closing empty delta, `usage`, `[DONE]`. Only the last bytes are kept, to read `usage` at the end.

Sources: WHATWG HTML, 9.2 (server-sent events); the streams of vLLM 0.32.
"""

import re

import orjson

from penstock.gateway.usage import Usage, usage_of

_MARK = b"\ndata:"
_EDGE = len(_MARK) - 1
_DONE = b"\ndata: [DONE]"
_NO_CHOICES = b'"choices":[]'
_NO_DELTA = b'"delta":{}'
_TAIL_BYTES = 4096  # usage is in the last event or the last but one; such an event has a few hundred bytes
_READS = 32
_USAGE_EVENT = re.compile(rb'data: ?(\{[^\r\n]*"usage": ?\{[^\r\n]*\})\r?\n')
_ROLE_ONLY = re.compile(rb'"delta": ?\{"role": ?"assistant"(, ?"content": ?(""|null))?[,}]')


class TokenCounter:
    """Counts the tokens of one stream. `add` is on the hot path: a few searches in C per read."""

    __slots__ = ("_edge", "_events", "_recent", "tokens")

    def __init__(self) -> None:
        self.tokens = 0
        self._events = 0
        self._edge = b"\n"  # the stream begins at a line start
        self._recent: list[bytes] = []

    def add(self, data: bytes) -> int:
        """Count the tokens of the events that begin in `data`, or across it and what came before; returns how many."""
        edge = self._edge
        found = data.count(_MARK) + (edge + data[:_EDGE]).count(_MARK)
        self._edge = data[-_EDGE:] if len(data) >= _EDGE else (edge + data)[-_EDGE:]
        recent = self._recent
        recent.append(data if len(data) <= _TAIL_BYTES else data[-_TAIL_BYTES:])
        if len(recent) == _READS:
            recent[:] = [b"".join(recent)[-_TAIL_BYTES:]]
        without = data.count(_DONE) + data.count(_NO_CHOICES) + data.count(_NO_DELTA)
        if not self._events and found and _ROLE_ONLY.search(data):
            without += 1
        self._events += found
        tokens = found - without
        if tokens <= 0:
            return 0
        self.tokens += tokens
        return tokens

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
        return not self._events or self._edge.endswith((b"\n\n", b"\n\n\r\n"))

    def usage(self) -> Usage | None:
        """What the engine counted, if the client asked for it (`stream_options.include_usage`)."""
        events = _USAGE_EVENT.findall(self.tail)
        if not events:
            return None
        try:
            return usage_of(orjson.loads(events[-1]))
        except orjson.JSONDecodeError:
            return None
