"""The front door: knows the endpoints, and owns everything that one gateway consists of.

`/health` is 200 only while some worker can take a request *now*, so that a balancer prefers gateways that can serve.
`/live` is 200 as long as requests are taken in at all, held ones included: a frontend that scales its pools to zero is
probed there, or no request would ever reach it to wake them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import count

import orjson
import zmq

from penstock.errors import ClientError, GatewayError, Overloaded
from penstock.gateway.discovery import Discovery
from penstock.gateway.errors import error_response, json_response
from penstock.gateway.exchange import Exchange
from penstock.gateway.head import Request
from penstock.gateway.hold import RETRY_AFTER_S, HoldingRoom
from penstock.gateway.kv_subscriber import KvSubscriber
from penstock.gateway.kv_translation import Change, Cleared, Stored
from penstock.gateway.means import Means
from penstock.gateway.models import ModelList
from penstock.gateway.prompts import PromptReader, Tokenizer
from penstock.gateway.requests import Endpoint
from penstock.gateway.routing import Routing
from penstock.gateway.scrape import scrape_forever
from penstock.gateway.settings import GatewaySettings
from penstock.gateway.upstream_pool import UpstreamPool
from penstock.gateway.wire import ClientConnection
from penstock.messages.worker import WorkerRecord
from penstock.telemetry.gateway_metrics import GatewayMetrics

log = logging.getLogger(__name__)

_METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SWEEP_S = 1.0
_DOORS_S = 0.2  # discovery opens them at once; this is for workers that were avoided for a moment
_BEGIN_AGAIN_S = 1.0
_FLUSH_POLL_S = 0.02
_ZMQ_SOCKETS = 16_384  # up to four for each worker; the default of 1023 would do for 250
_COMPLETIONS = frozenset(endpoint.value for endpoint in Endpoint)
_READS = frozenset((b"/v1/models", b"/health", b"/live", b"/metrics"))


class Front:
    """One gateway, without its listening socket (`wire.Handler`)."""

    def __init__(self, settings: GatewaySettings, tokenizer: Tokenizer | None, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.clock = clock
        self.metrics = GatewayMetrics(slo_ttft_s=settings.slo_ttft_s, slo_itl_s=settings.slo_itl_s)
        self.routing = Routing(settings, clock)
        self.room = HoldingRoom(places=settings.hold_max, timeout_s=settings.hold_timeout_s, clock=clock)
        self.pool = UpstreamPool(settings.upstream, clock)
        self.connections: set[ClientConnection] = set()
        self.metrics.held.set_function(lambda: len(self.room))
        self.metrics.workers.set_function(lambda: len(self.routing.members))
        self._models = ModelList(settings.model, self.routing, self.pool)
        self._prompts = PromptReader(tokenizer, wants_ids=settings.policy == "kv")
        self._means = Means(
            settings=settings,
            routing=self.routing,
            room=self.room,
            pool=self.pool,
            prompts=self._prompts,
            metrics=self.metrics,
            clock=clock,
        )
        self._numbers = count()
        self._exchanges: dict[ClientConnection, asyncio.Task[None]] = {}
        self._background: list[asyncio.Task[None]] = []
        self._followed: dict[str, KvSubscriber] = {}
        self._zmq: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._zmq.set(zmq.MAX_SOCKETS, _ZMQ_SOCKETS)
        self._ending = False

    # --- life

    def start(self, discovery: Discovery) -> None:
        """Begin to follow workers. Needs a running loop."""
        settings = self.settings
        self._begin(lambda: self._discover(discovery), "following discovery")
        self._begin(
            lambda: scrape_forever(self.routing, self.pool, self.clock, settings.scrape_interval_s), "scraping workers"
        )
        self._begin(self._sweep_forever, "sweeping")
        self._begin(self._open_doors_forever, "letting held requests try again")

    def connection(self) -> ClientConnection:
        """A protocol for a new client."""
        return ClientConnection(self, self.connections, self.settings.wire, self.clock)

    async def end(self, grace_s: float) -> None:
        """Finish what is in flight, at most for `grace_s`; turn away those who are held; then drop everything."""
        self._ending = True
        deadline_s = self.clock() + grace_s
        self.room.close()
        for connection in list(self.connections):
            connection.close_when_idle()
        if self._exchanges:
            log.info("finishing %d requests", len(self._exchanges))
            await asyncio.wait(list(self._exchanges.values()), timeout=grace_s)
        while self.connections and not self._exchanges and self.clock() < deadline_s:  # noqa: ASYNC110 - just here
            await asyncio.sleep(_FLUSH_POLL_S)  # what is answered is on its way: a connection closes once it is sent
        if self._exchanges:
            log.warning("cutting %d requests that did not finish within %g s", len(self._exchanges), grace_s)
        tasks = [*self._exchanges.values(), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self.connections):
            connection.close_when_idle()
            connection.abort()
        for subscriber in self._followed.values():
            subscriber.close()
        self.pool.close()
        self._prompts.close()
        self._zmq.destroy(linger=0)

    # --- requests (wire.Handler)

    def handle(self, request: Request, client: ClientConnection) -> None:
        """Answer at once, or begin to."""
        path = request.path
        if path in _COMPLETIONS and request.method == b"POST":
            exchange = Exchange(next(self._numbers), request, client, self._means)
            task = asyncio.get_running_loop().create_task(exchange.run())
            self._exchanges[client] = task
            task.add_done_callback(lambda done: self._over(client, done))
        elif path in _READS and request.method in (b"GET", b"HEAD"):
            self._read(request, client)
        else:
            self._answer(
                request, client, error_response(_unknown(request), request_id=request.id, keep_alive=request.keep_alive)
            )

    def refused(self, error: GatewayError) -> None:
        """A client was refused before it made a request."""
        self.metrics.refused(error.code or error.type)

    def client_gone(self, client: ClientConnection) -> None:
        """Cancel what the client no longer waits for: the engine stops at once."""
        task = self._exchanges.get(client)
        if task is not None:
            task.cancel()

    def _over(self, client: ClientConnection, done: asyncio.Task[None]) -> None:
        if self._exchanges.get(client) is done:
            del self._exchanges[client]

    def _read(self, request: Request, client: ClientConnection) -> None:
        if request.path == b"/v1/models":
            task = asyncio.get_running_loop().create_task(self._tell_models(request, client))
            self._exchanges[client] = task
            task.add_done_callback(lambda done: self._over(client, done))
            return
        if request.path == b"/metrics":
            answer = self._json(request, 200, self.metrics.exposition(), content_type=_METRICS_TYPE)
        elif request.path == b"/live":
            answer = self._json(request, 200, b'{"status":"ok"}')
        else:
            answer = self._health(request)
        self._answer(request, client, answer)

    async def _tell_models(self, request: Request, client: ClientConnection) -> None:
        self._answer(request, client, self._json(request, 200, await self._models.document()))

    def _health(self, request: Request) -> bytes:
        if self.routing.can_serve and not self._ending:
            seen = {"status": "ok", "workers": len(self.routing.members), "held": len(self.room)}
            return self._json(request, 200, orjson.dumps(seen))
        error = Overloaded("no worker is ready", retry_after_s=RETRY_AFTER_S, code="no_worker_ready")
        return error_response(error, request_id=request.id, keep_alive=request.keep_alive)

    def _json(self, request: Request, status: int, body: bytes, *, content_type: bytes = b"application/json") -> bytes:
        return json_response(
            status, body, request_id=request.id, keep_alive=request.keep_alive, content_type=content_type
        )

    def _answer(self, request: Request, client: ClientConnection, answer: bytes) -> None:
        if request.method == b"HEAD":
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        client.write(answer)
        client.finish(keep_alive=request.keep_alive)

    # --- workers

    async def _discover(self, discovery: Discovery) -> None:
        async for records in discovery.watch():
            self._list(records)

    def _list(self, records: Sequence[WorkerRecord]) -> None:
        came, gone = self.routing.update(records)
        for member in gone:
            self.pool.forget(member.address)
            subscriber = self._followed.pop(member.record.id, None)
            if subscriber is not None:
                subscriber.close()
        for member in came:
            if self.settings.policy == "kv" and member.record.kv_events is not None:
                self._follow(member.record)
        if came or gone:
            log.info("workers: %s", ", ".join(member.record.id for member in self.routing.members) or "none")
        if came:
            self.room.open_doors()

    def _follow(self, record: WorkerRecord) -> None:
        router, worker = self.routing.router, record.id

        def apply(change: Change) -> None:
            if isinstance(change, Stored):
                router.stored(worker, change.hashes, change.parent)
            elif isinstance(change, Cleared):
                router.cleared(worker)
            else:
                router.removed(worker, change.hashes)

        try:
            self._followed[worker] = KvSubscriber(
                record, context=self._zmq, block_tokens=self.routing.block_tokens, apply=apply, metrics=self.metrics
            )
        except zmq.ZMQError as error:
            log.error("worker %s: cannot follow KV events at %s (%s)", worker, record.kv_events, error)

    # --- now and then

    async def _open_doors_forever(self) -> None:
        """Let held requests try again whenever somebody may take them, however that came about."""
        while True:
            await asyncio.sleep(_DOORS_S)
            if self.room and self.routing.some_may_serve(self.clock()):
                self.room.open_doors()

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now_s = self.clock()
            self.pool.sweep(now_s)
            for connection in list(self.connections):
                connection.sweep(now_s)
            for subscriber in self._followed.values():
                subscriber.poll()

    def _begin(self, work: Callable[[], Awaitable[None]], doing: str) -> None:
        """Run for ever: what fails is logged, counted, and begun again."""

        async def forever() -> None:
            while True:
                try:
                    await work()
                except Exception:
                    self.metrics.internal_errors.inc()
                    log.exception("%s", doing)
                await asyncio.sleep(_BEGIN_AGAIN_S)

        self._background.append(asyncio.get_running_loop().create_task(forever(), name=doing))


def _unknown(request: Request) -> ClientError:
    shown = f"{request.method.decode('ascii', 'replace')} {request.path[:200].decode('utf-8', 'replace')}"
    if request.path in _COMPLETIONS or request.path in _READS:
        return ClientError(f"{shown}: method not allowed", status=405, code="method_not_allowed")
    return ClientError(f"{shown}: no such endpoint", status=404, code="not_found")
