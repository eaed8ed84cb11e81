"""Users of an OpenAI API who account for every request: each begun one ends served or lost, and lost says how.

They ask in a closed loop, each in a thread, half of them for streams. An answer counts as served only if it is whole:
status 200, all tokens that were asked for, and of a stream its `[DONE]`. Nobody asks again: a retry would hide a loss.
"""

import itertools
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any

ANSWER_TIMEOUT_S = 60.0


class NotWhole(Exception):
    """An answer that ended well and has not all that was asked for."""


class Clients:
    """Args: whole, streams: how many ask for each. max_tokens, stream_tokens: of each answer."""

    def __init__(
        self, url: str, *, whole: int = 4, streams: int = 4, max_tokens: int = 30, stream_tokens: int = 30
    ) -> None:
        self._url = url + "/v1/completions"
        self.lost: dict[int, str] = {}  # by number, how it ended
        self._served: list[int] = []  # appending is one step, whatever other threads do
        self._numbers = itertools.count()
        self._pending: set[int] = set()
        self._over = threading.Event()
        asked = [(max_tokens, False)] * whole + [(stream_tokens, True)] * streams
        self._threads = [threading.Thread(target=self._ask_on, args=each, daemon=True) for each in asked]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ask for nothing more, and wait for what was asked for."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def served(self) -> int:
        return len(self._served)

    @property
    def pending(self) -> frozenset[int]:
        """Numbers of the requests without an end."""
        return frozenset(self._pending)

    def _ask_on(self, max_tokens: int, stream: bool) -> None:
        while not self._over.is_set():
            number = next(self._numbers)
            self._pending.add(number)
            try:
                self._ask(number, max_tokens, stream=stream)
                self._served.append(number)
            except (OSError, HTTPException, ValueError, NotWhole) as error:
                self.lost[number] = f"{'stream' if stream else 'whole'}: {error!r}"
                time.sleep(0.1)
            finally:
                self._pending.discard(number)

    def _ask(self, number: int, max_tokens: int, *, stream: bool) -> None:
        body: dict[str, Any] = {"model": "penstock/tiny", "prompt": f"{number} at once", "max_tokens": max_tokens}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        request = urllib.request.Request(
            self._url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as response:
            tokens = _streamed_tokens(response) if stream else json.load(response)["usage"]["completion_tokens"]
        if tokens != max_tokens:
            raise NotWhole(f"{tokens} tokens instead of {max_tokens}")


def _streamed_tokens(response: HTTPResponse) -> int:
    """Read a stream to its end. Returns: the tokens that its usage tells."""
    events = [line[6:].strip() for line in response if line.startswith(b"data: ")]
    if not events or events[-1] != b"[DONE]":
        raise NotWhole(f"a stream that ended after {len(events)} events without [DONE]")
    usage = [document["usage"] for event in events[:-1] if (document := json.loads(event)).get("usage")]
    return int(usage[-1]["completion_tokens"])


@contextmanager
def asking(clients: Clients) -> Iterator[Clients]:
    clients.begin()
    try:
        yield clients
    finally:
        clients.end()
