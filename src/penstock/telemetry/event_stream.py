"""`/events`: what is new in the feed, once a second, as server-sent events, to a bounded number of browsers.

A browser's place is one number, so nothing queues for it here: one that reads slowly gets more at once, one that does
not read at all within `SEND_TIMEOUT_S` is dropped, and so is its memory. A browser whose place is not known any more
(it slept, or this is another run) is told `reset`, and asks for `/history` again.

Event ids are RUN-SEQ: `EventSource` sends the last one when it connects again.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from penstock.telemetry.feed import Feed

MAX_CLIENTS = 64
EVERY_S = 1.0  # no event sooner after the last
LOOK_EVERY_S = 0.2  # how late an event may be
HEARTBEAT_S = 5.0  # a comment, so that proxies and browsers know that the line is open
SEND_TIMEOUT_S = 10.0


class EventStream:
    """An ASGI endpoint. `close` ends every stream, so that the server can stop.

    Args:
        run: names this run in event ids; of the characters that an HTTP header may hold.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        to_json: Callable[[Any], bytes],
        run: str | None = None,
        max_clients: int = MAX_CLIENTS,
        send_timeout_s: float = SEND_TIMEOUT_S,
        every_s: float = EVERY_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._feed = feed
        self.run = run or secrets.token_hex(4)
        self._to_json = to_json
        self._max_clients = max_clients
        self._send_timeout_s = send_timeout_s
        self._every_s = every_s
        self._look_every_s = look_every_s
        self._closing = asyncio.Event()
        self.clients = 0

    def close(self) -> None:
        """End every stream, now and from now on."""
        self._closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.clients >= self._max_clients:
            refusal = PlainTextResponse("too many pages are open\n", status_code=503, headers={"Retry-After": "10"})
            await refusal(scope, receive, send)
            return
        self.clients += 1
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await self._stream(Request(scope), send, gone)
        finally:
            self.clients -= 1
            gone.cancel()

    async def _stream(self, request: Request, send: Send, gone: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        seq = self._place(request)
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        message = b"retry: 2000\n\n"
        if seq is None or (seq < self._feed.oldest_seq - 1) or seq > self._feed.seq:
            message += b"event: reset\ndata: {}\n\n"
            seq = self._feed.seq
        next_at_s = heartbeat_at_s = 0.0
        while not (gone.done() or self._closing.is_set()):
            now_s = loop.time()
            if now_s >= next_at_s and (news := self._feed.since(seq)) is not None:
                seq = news["seq"]
                message += b"id: %s-%d\ndata: %s\n\n" % (self.run.encode(), seq, self._to_json(news))
                next_at_s = now_s + self._every_s - self._look_every_s / 2
            elif now_s >= heartbeat_at_s:
                message += b": still here\n\n"
            if message:
                try:
                    async with asyncio.timeout(self._send_timeout_s):
                        await send({"type": "http.response.body", "body": message, "more_body": True})
                except TimeoutError:
                    return  # it does not read; the server closes the connection
                message = b""
                heartbeat_at_s = now_s + HEARTBEAT_S
            await asyncio.wait({gone}, timeout=self._look_every_s)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _place(self, request: Request) -> int | None:
        """How far this browser has read, if it says so for this run."""
        place = request.headers.get("last-event-id") or request.query_params.get("after") or ""
        run, _, seq = place.rpartition("-")
        return int(seq) if run == self.run and seq.isascii() and seq.isdigit() and len(seq) < 16 else None


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
