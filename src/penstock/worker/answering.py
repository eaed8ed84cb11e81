"""Sends one request's answer as an ASGI response: whole or streamed, until it is out or the client has left.

The response's head goes out with the first token, not before: until then a failure can still be told by its status,
and a gateway can still give the request to another worker.
"""

import asyncio
import time

from starlette.types import Message, Receive, Scope, Send

from penstock.errors import Overloaded
from penstock.worker.asked import Asked
from penstock.worker.remote_kv import RemoteRef
from penstock.worker.service import WorkerService
from penstock.worker.shapes import EventWriter, whole
from penstock.worker.ticket import Ticket


class Answering:
    """One answer. Starlette calls it as it calls any response.

    Args:
        arrived_s: when the request came, by `time.monotonic()`.
    """

    background = None

    def __init__(
        self,
        service: WorkerService,
        asked: Asked,
        ref: RemoteRef | None,
        *,
        answer_id: str,
        request_id: str,
        arrived_s: float,
    ) -> None:
        self._service = service
        self._asked = asked
        self._ref = ref
        self._answer_id = answer_id
        self._request_id = request_id
        self._arrived_s = arrived_s
        self._created = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request that `let_in` counted. Raises: GatewayError, before anything is sent."""
        service = self._service
        gone = asyncio.get_running_loop().create_task(_gone(receive))
        ticket: Ticket | None = None
        try:
            cached = None
            if self._ref is not None:
                fetching = asyncio.ensure_future(service.fetch(self._asked, self._ref))
                await asyncio.wait({fetching, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not fetching.done():
                    fetching.cancel()
                    await asyncio.wait({fetching})
                    return
                cached = fetching.result()
            if gone.done():
                return
            ticket = service.submit(self._asked, arrived_s=self._arrived_s, remote_cached=cached)
            left = ticket
            gone.add_done_callback(lambda task: None if task.cancelled() else service.abandon(left))
            await (self._stream(ticket, send) if self._asked.stream else self._whole(ticket, send))
        finally:
            if ticket is not None and ticket.finish_reason is None:
                service.abandon(ticket)
            gone.cancel()
            service.let_out()

    async def _whole(self, ticket: Ticket, send: Send) -> None:
        await ticket.news(0)
        if ticket.finish_reason == "abort":
            self._aborted()
        body = whole(
            self._asked,
            answer_id=self._answer_id,
            created=self._created,
            model=self._service.settings.model,
            cached_tokens=ticket.cached_tokens,
            finish_reason=ticket.finish_reason or "length",
            kv_transfer=ticket.kv_transfer,
            produced=ticket.produced,
        )
        await send(self._head(b"application/json", len(body)))
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, ticket: Ticket, send: Send) -> None:
        writer = EventWriter(
            self._asked, answer_id=self._answer_id, created=self._created, model=self._service.settings.model
        )
        sent, out = 0, b""
        while True:
            await ticket.news(sent)
            produced, reason = ticket.produced, ticket.finish_reason
            if reason == "abort":
                if not sent:
                    self._aborted()
                return  # without its end, so that the client sees that it was cut
            if not sent:
                await send(self._head(b"text/event-stream; charset=utf-8", None))
                out = writer.opening(ticket.cached_tokens)
            out += writer.tokens(sent, produced, cached_tokens=ticket.cached_tokens, finish_reason=reason)
            sent = produced
            if reason is not None:
                out += writer.ending(produced, ticket.cached_tokens)
                await send({"type": "http.response.body", "body": out})
                return
            await send({"type": "http.response.body", "body": out, "more_body": True})
            out = b""

    def _aborted(self) -> None:
        raise Overloaded("This worker gave the request up.", retry_after_s=1, code="aborted")

    def _head(self, content_type: bytes, length: int | None) -> Message:
        headers = [(b"content-type", content_type), (b"x-request-id", self._request_id.encode("ascii"))]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        return {"type": "http.response.start", "status": 200, "headers": headers}


async def _gone(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
