"""Reads a streamed completion (server-sent events) as it arrives: when tokens came, how many, how it ended. Pure.

A token event is one whose choice carries text; the role that opens a chat, and usage, are none. Events read at one
instant stand for one arrival: k tokens that come together after a gap count as k gaps of gap/k. Where the server's
usage says another number of tokens than there were token events (several tokens in one event), the tokens are spread
over the events in proportion to their text. What came together with the first token counts as gaps of 0: the reader
had them at once.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html; OpenAI's streaming format as vLLM writes it.
"""

from typing import Any

import orjson

MAX_EVENT_BYTES = 1024 * 1024  # of one event; more is no token stream
_ERROR_CHARS = 200


class AnswerReader:
    """The state of one answer. Feed it bytes; then read its fields."""

    __slots__ = ("_buffer", "_characters", "_events", "_instants", "done", "error", "finish_reason", "usage")

    def __init__(self) -> None:
        self._buffer = b""
        self._instants: list[float] = []  # when token events came; one entry an instant
        self._events: list[int] = []  # token events at that instant
        self._characters: list[int] = []  # their text
        self.done = False  # [DONE] came
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] = {}
        self.error: str | None = None  # the server's own, mid-stream, or why we cannot read it

    def feed(self, data: bytes, now_s: float) -> None:
        """Take bytes that arrived at `now_s`."""
        if self.error is not None or self.done:
            return
        if b"\r" in data:
            data = data.replace(b"\r", b"")
        *events, self._buffer = (self._buffer + data).split(b"\n\n")
        if len(self._buffer) > MAX_EVENT_BYTES:
            self.error = f"an event of more than {MAX_EVENT_BYTES} bytes"
            return
        for event in events:
            if not self._event(event, now_s):
                return

    @property
    def first_token_s(self) -> float | None:
        """When the first token came."""
        return self._instants[0] if self._instants else None

    @property
    def token_events(self) -> int:
        return sum(self._events)

    @property
    def output_tokens(self) -> int:
        """As the server counts them; else one an event."""
        counted = _count(self.usage.get("completion_tokens"))
        return self.token_events if counted is None else counted

    @property
    def prompt_tokens(self) -> int | None:
        return _count(self.usage.get("prompt_tokens"))

    @property
    def cached_tokens(self) -> int:
        details = self.usage.get("prompt_tokens_details")
        return (_count(details.get("cached_tokens")) or 0) if isinstance(details, dict) else 0

    def gaps(self) -> tuple[tuple[float, int], ...]:
        """Gaps between tokens as (gap in seconds, tokens that it counts for) runs, in order."""
        if not self._instants:
            return ()
        counts = self._events
        if self.output_tokens != self.token_events:
            counts = _spread(self.output_tokens, self._characters)
        runs = [(0.0, counts[0] - 1)] if counts[0] > 1 else []
        since_s = self._instants[0]
        for at_s, tokens in zip(self._instants[1:], counts[1:], strict=True):
            if tokens:  # an instant that got none leaves its gap to the next
                runs.append(((at_s - since_s) / tokens, tokens))
                since_s = at_s
        return tuple(runs)

    def _event(self, event: bytes, now_s: float) -> bool:
        """Read one event; False if it was the last to read."""
        for line in event.split(b"\n"):
            if not line.startswith(b"data:"):
                continue  # a comment, an id, a name
            payload = line[5:].strip()
            if payload == b"[DONE]":
                self.done = True
                return False
            try:
                document = orjson.loads(payload)
            except orjson.JSONDecodeError:
                self.error = "an event that is not JSON"
                return False
            if isinstance(document, dict):
                self._document(document, now_s)
        return self.error is None

    def _document(self, document: dict[str, Any], now_s: float) -> None:
        if document.get("error"):
            self.error = message_of(document) or "an error event"
            return
        usage = document.get("usage")
        if isinstance(usage, dict):
            self.usage = usage
        choices = document.get("choices")
        if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
            return
        choice = choices[0]
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        text = choice.get("text")
        if text is None and isinstance(delta := choice.get("delta"), dict):
            text = delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(text, str) and text:
            self._token(len(text), now_s)

    def _token(self, characters: int, now_s: float) -> None:
        if self._instants and self._instants[-1] == now_s:
            self._events[-1] += 1
            self._characters[-1] += characters
        else:
            self._instants.append(now_s)
            self._events.append(1)
            self._characters.append(characters)


def message_of(document: Any) -> str | None:
    """The message of an OpenAI error document, cut short; also of vLLM's older flat shape."""
    if not isinstance(document, dict):
        return None
    error = document.get("error", document)
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(message.split())[:_ERROR_CHARS] if isinstance(message, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _spread(tokens: int, characters: list[int]) -> list[int]:
    """Share out `tokens` in proportion to `characters`, in whole numbers; the first gets at least one, if any."""
    total, seen, given = sum(characters), 0, 0
    counts = []
    for length in characters:
        seen += length
        upto = max(tokens * seen // total, min(tokens, 1))
        counts.append(upto - given)
        given = upto
    return counts
