"""The life of one completion request, from its arrival to the end of its answer.

It is read, placed on a worker (or held until there is one), sent, and its answer relayed. A worker that fails before
the first byte reaches the client is replaced by another; what was committed can only be broken off visibly. Bounds:
`deliveries` for workers that got the request and failed, `refusals` for those that never took it.

Whatever happens, the router is told of the end and the metrics count it once.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import orjson

from penstock.errors import GatewayError, UpstreamError
from penstock.gateway import disaggregate
from penstock.gateway.errors import error_response, internal_error
from penstock.gateway.head import Header, Request, passed_to_client, request_head, response_head
from penstock.gateway.hold import HoldingRoom, Ticket
from penstock.gateway.meter import StreamMeter
from penstock.gateway.prompts import PromptReader, Reading
from penstock.gateway.relay import Ending, Relay, Streamed, Whole
from penstock.gateway.requests import CompletionRequest, Endpoint, parse_completion
from penstock.gateway.routing import Member, Routing
from penstock.gateway.settings import GatewaySettings
from penstock.gateway.upstream import Lost, UpstreamPool
from penstock.gateway.usage import Usage
from penstock.gateway.whole import Call, call
from penstock.gateway.wire import ClientConnection
from penstock.kvcache.hashing import block_hashes
from penstock.router.route_request import Choice, RouteRequest
from penstock.telemetry.gateway_metrics import GatewayMetrics

log = logging.getLogger(__name__)

CLIENT_LEFT = 499  # nginx's code; nobody is sent it
# error.code of a 503 that says: this worker is not (or no longer) there for anybody, so waiting for another is right
NOT_SERVING = frozenset(("draining", "starting", "aborted"))
_EXPLAIN_BYTES = 4096  # a header; common clients take 8 KiB for all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every exchange works with."""

    settings: GatewaySettings
    routing: Routing
    room: HoldingRoom
    pool: UpstreamPool
    prompts: PromptReader
    metrics: GatewayMetrics
    clock: Callable[[], float]
    on_failure: Callable[[], None]  # told when a worker begins to be avoided


class Exchange:
    """One completion request."""

    __slots__ = (
        "_block_tokens",
        "_cached",
        "_choice",
        "_client",
        "_code",
        "_deliveries",
        "_excluded",
        "_extra",
        "_last",
        "_means",
        "_meter",
        "_number",
        "_parsed",
        "_reading",
        "_refusals",
        "_request",
        "_route",
        "_ticket",
        "_usage",
    )

    def __init__(self, number: int, request: Request, client: ClientConnection, means: Means) -> None:
        self._number = number  # request ids are the client's to choose, so they need not be unique
        self._request = request
        self._client = client
        self._means = means
        self._meter = StreamMeter(means.metrics, means.clock, request.arrived_s, self._first_token)
        self._parsed: CompletionRequest | None = None
        self._reading = Reading(0, None)
        self._route: RouteRequest | None = None
        self._block_tokens = 0
        self._extra: list[Header] = []
        self._choice: Choice | None = None
        self._ticket: Ticket | None = None
        self._excluded: frozenset[str] = frozenset()
        self._deliveries = self._refusals = 0
        self._last: Whole | None = None  # the last answer of a worker that would not take it
        self._usage: Usage | None = None
        self._cached: int | None = None  # as a prefill worker told
        self._code = CLIENT_LEFT

    async def run(self) -> None:
        """Serve the request. Raises nothing but CancelledError, when the client has left."""
        metrics = self._means.metrics
        metrics.received.inc()
        metrics.in_flight.inc()
        try:
            await self._serve()
        except GatewayError as error:
            self._refuse(error)
        except asyncio.CancelledError:
            raise
        except Exception:
            metrics.internal_errors.inc()
            log.exception("serving a request")
            self._refuse(internal_error())
        finally:
            if self._ticket is not None:
                self._means.room.leave(self._ticket)
            metrics.in_flight.dec()
            self._account()

    async def _serve(self) -> None:
        request = self._request
        self._parsed = parsed = parse_completion(Endpoint(request.path), request.body)
        self._reading = await self._means.prompts.read(parsed.prompt)
        self._means.metrics.request_prompt_tokens.observe(self._reading.tokens)
        while True:
            choice = await self._place()
            if choice is None or await self._try(choice):
                return

    # --- placing

    async def _place(self) -> Choice | None:
        """Find a worker; wait in the holding room while there is none. None: a worker's refusal was passed on."""
        means = self._means
        while True:
            if self._ticket is not None or not means.room:  # nobody overtakes those who wait
                choice = means.routing.choose(self._routable(), means.clock())
                if choice is not None:
                    if self._ticket is not None:
                        means.room.leave(self._ticket)
                    return choice
            if self._last is not None and self._last.error_code() not in NOT_SERVING:
                self._pass_on(self._last)
                return None
            self._ticket = means.room.enter(self._ticket)
            self._excluded = frozenset()  # once there is room again, whoever failed may be tried again
            await means.room.wait(self._ticket)

    def _routable(self) -> RouteRequest:
        routing, parsed = self._means.routing, self._parsed
        assert parsed is not None
        route = self._route
        if route is None or self._block_tokens != routing.block_tokens:
            self._block_tokens = routing.block_tokens
            ids = (
                self._reading.ids if parsed.cache_salt is None else None
            )  # salted blocks are shared with nobody we know
            self._route = route = RouteRequest(
                id=self._number,
                prompt_tokens=self._reading.tokens,
                block_hashes=_hashes(ids, routing.block_tokens),
                exclude=self._excluded,
            )
        elif route.exclude is not self._excluded:
            self._route = route = replace(route, exclude=self._excluded)
        return route

    # --- trying one worker

    async def _try(self, choice: Choice) -> bool:
        """Give the request to the chosen. Returns: whether it was answered; else another is to be chosen."""
        means, parsed = self._means, self._parsed
        assert parsed is not None
        member = means.routing.member(choice.worker)
        if member is None:
            return False
        now_s = means.clock()
        self._extra = extra = self._told_headers(choice, now_s)
        means.routing.router.sent(self._routable(), choice, now_s)
        self._choice = choice
        body = parsed.body
        if choice.prefill_worker is not None:
            prefilled = await self._prefill(choice.prefill_worker)
            if prefilled is None:
                return False  # another prefill worker is to be chosen
            body = prefilled
        while True:
            relay, ending = await self._send(member, body, extra)
            if body is not parsed.body and isinstance(ending, Whole) and ending.head.status in (500, 502, 504):
                # The engine is well, but the KV cannot be read: let it compute the prompt itself.
                means.metrics.retried("kv_transfer")
                means.metrics.fallbacks.inc()
                body = parsed.body
                continue
            return self._judge(member, relay, ending)

    async def _send(self, member: Member, body: bytes, extra: list[Header]) -> tuple[Relay | None, Ending]:
        """Send the request on a kept or new connection, and relay what comes."""
        means, address = self._means, member.address
        query = b"?" + self._request.query if self._request.query else b""
        head = request_head(self._request, address.host_header, address.prefix + self._request.path + query, len(body))
        while True:
            connection = means.pool.idle(address)
            if connection is None:
                try:
                    connection = await means.pool.connect(address)
                except OSError:  # TimeoutError included
                    return None, Lost("connect")
            relay = Relay(
                self._request, self._client, connection, self._meter, extra, means.settings.upstream.buffered_bytes
            )
            connection.send(relay, head, body)
            try:
                ending = await relay.done
            except asyncio.CancelledError:
                connection.cancel()  # the client left, so the engine stops at once
                raise
            if isinstance(ending, Lost):
                connection.cancel()
                if ending.stale:
                    means.pool.forget(address)  # the others are as old
                    means.metrics.retried("stale_connection")
                    continue
            return relay, ending

    def _judge(self, member: Member, relay: Relay | None, ending: Ending) -> bool:
        """What to make of how it ended. Returns: whether the request is answered. Raises: UpstreamError."""
        if isinstance(ending, Streamed):
            self._means.routing.answered(member.record.id)
            self._usage = self._meter.counter.usage()
            self._code = ending.head.status
            self._client.finish(keep_alive=self._request.keep_alive and not self._request.http_10)
            return True
        if isinstance(ending, Whole):
            if ending.head.status == 503:
                self._last = ending
                code = ending.error_code()
                reason = code if code is not None and code in NOT_SERVING else "unavailable"
                self._go_elsewhere(member, reason, delivered=False)
                return False
            self._means.routing.answered(member.record.id)
            self._pass_on(ending)
            return True
        if relay is not None and relay.committed:
            self._means.metrics.streams_broken.inc()
            self._means.routing.failed(member.record.id, self._means.clock())
            self._means.on_failure()
            log.warning("worker %s was lost in the middle of an answer (%s)", member.record.id, ending.reason)
            self._code = 502
            relay.break_off(ending)
            return True
        self._go_elsewhere(member, ending.reason, delivered=ending.reason != "connect")
        return False

    def _go_elsewhere(self, member: Member, reason: str, *, delivered: bool) -> None:
        means, worker = self._means, member.record.id
        now_s = means.clock()
        means.routing.router.finished(self._number, now_s, 0)
        self._choice = None
        self._excluded |= {worker}
        self._deliveries += delivered
        self._refusals += not delivered
        if reason != "unavailable":  # a 503 may be about this request alone
            means.routing.failed(worker, now_s)
            means.on_failure()
        if self._deliveries >= means.settings.upstream.deliveries or self._refusals >= means.settings.upstream.refusals:
            raise UpstreamError(
                f"{self._deliveries + self._refusals} workers in turn failed this request, at last by: {reason}",
                code="workers_failed",
            )
        means.metrics.retried(reason)

    # --- prefill elsewhere

    async def _prefill(self, worker: str) -> bytes | None:
        """Have the prompt computed. Returns: the body for decode, or None if another choice is to be made."""
        means, parsed = self._means, self._parsed
        assert parsed is not None
        member = means.routing.member(worker)
        if member is None:
            return None
        body = disaggregate.prefill_body(parsed)
        head = request_head(
            self._request, member.address.host_header, member.address.prefix + self._request.path, len(body)
        )
        answer = await call(means.pool, member.address, Call(head, body))
        if isinstance(answer, Whole) and answer.head.status == 200:
            params = disaggregate.transfer_params(answer.body)
            means.routing.answered(worker)
            usage = answer.usage()
            self._cached = usage.cached_tokens if usage is not None else None
            if params is not None:
                return disaggregate.decode_body(parsed, params)
            log.warning("prefill worker %s told no kv_transfer_params: decode computes the prompt", worker)
        elif isinstance(answer, Whole) and answer.head.status < 500:
            return parsed.body  # it dislikes the request; decode will say so, in words for the client
        elif isinstance(answer, Lost) or answer.head.status == 503:
            # Another prefill worker, if there is one; else the router lets decode do it all.
            means.metrics.retried("prefill_" + (answer.reason if isinstance(answer, Lost) else "unavailable"))
            means.routing.failed(worker, means.clock())
            means.on_failure()
            self._excluded |= {worker}
            self._refusals += 1
            if self._refusals < means.settings.upstream.refusals:
                return None
        else:
            means.metrics.retried(f"prefill_status_{answer.head.status}")
        means.metrics.fallbacks.inc()
        return parsed.body

    # --- answering

    def _pass_on(self, whole: Whole) -> None:
        """Give the client a worker's whole answer as it is."""
        head = whole.head
        self._usage = whole.usage()
        self._code = head.status
        keep = self._request.keep_alive and not self._request.http_10
        headers = passed_to_client(head.headers)
        if self._choice is not None:
            headers += self._extra
        else:
            headers.append((b"x-request-id", self._request.id))
        if head.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(whole.body)))
        if not keep:
            headers.append((b"connection", b"close"))
        self._client.write(response_head(head.status, headers) + whole.body)
        self._client.finish(keep_alive=keep)

    def _refuse(self, error: GatewayError) -> None:
        self._code = error.status
        keep = self._request.keep_alive and not self._request.http_10
        self._client.write(error_response(error, request_id=self._request.id, keep_alive=keep))
        self._client.finish(keep_alive=keep)

    def _told_headers(self, choice: Choice, now_s: float) -> list[Header]:
        headers: list[Header] = [(b"x-request-id", self._request.id), (b"x-penstock-worker", choice.worker.encode())]
        if self._request.header(b"x-penstock-explain") is not None:
            headers.append((b"x-penstock-explain", self._explanation(choice, now_s)))
        return headers

    def _explanation(self, choice: Choice, now_s: float) -> bytes:
        """The router's reasons as one line of JSON, cheapest workers first, as many as fit."""
        document = dict(self._means.routing.explain(self._routable(), now_s).to_json())
        document["choice"] = choice._asdict()
        document["prices"] = list(document["prices"])
        while True:
            shown = orjson.dumps(document)
            if len(shown) <= _EXPLAIN_BYTES or not document["prices"]:
                return shown[:_EXPLAIN_BYTES]
            document["prices"].pop()

    # --- accounting

    def _first_token(self, now_s: float) -> None:
        self._means.routing.router.first_token(self._number, now_s)

    def _account(self) -> None:
        metrics, now_s = self._means.metrics, self._means.clock()
        usage, reading = self._usage, self._reading
        output = usage.output_tokens if usage is not None else self._meter.counter.tokens
        if self._choice is not None:
            self._means.routing.router.finished(self._number, now_s, output)
        metrics.answered(self._code)
        metrics.request_duration.observe(now_s - self._request.arrived_s)
        metrics.output_tokens.inc(output)
        if self._code != 200:
            return
        prompt = usage.prompt_tokens if usage is not None else reading.tokens
        cached = self._cached
        if cached is None:
            cached = usage.cached_tokens if usage is not None else None
        if cached is None:
            cached = self._choice.hit_tokens if self._choice is not None else 0
        metrics.prompt_tokens.inc(prompt)
        metrics.prompt_tokens_cached.inc(min(cached, prompt))
        metrics.request_output_tokens.observe(output)
        if usage is not None and self._parsed is not None and reading.ids is None:
            self._means.prompts.learn(self._parsed.prompt.chars, usage.prompt_tokens)


def _hashes(ids: object, block_tokens: int) -> list[int]:
    if ids is None:
        return []
    try:
        return block_hashes(ids, block_tokens)  # type: ignore[arg-type]
    except ValueError:
        return []  # ids beyond 32 bits: the engine will refuse them
