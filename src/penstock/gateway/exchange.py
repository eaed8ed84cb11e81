"""The life of one completion request, from its arrival to the end of its answer.

It is read, placed on a worker (`placement`), sent, and its answer relayed. A worker that fails before the first byte
reaches the client is replaced by another; what was committed can only be broken off visibly.

Whatever happens, the router is told of the end and the metrics count it once.
"""

import asyncio
import logging

import orjson

from penstock.errors import GatewayError
from penstock.gateway import disaggregate
from penstock.gateway.errors import error_response, internal_error
from penstock.gateway.head import Header, Request, passed_to_client, request_head, response_head
from penstock.gateway.means import Means
from penstock.gateway.meter import StreamMeter
from penstock.gateway.placement import Placement, refusal_reason
from penstock.gateway.relay import Ending, Relay, Streamed, Whole
from penstock.gateway.requests import CompletionRequest, Endpoint, parse_completion
from penstock.gateway.routing import Member
from penstock.gateway.upstream import STALLED, Lost, UpstreamConnection
from penstock.gateway.usage import Usage
from penstock.gateway.whole import Call, call
from penstock.gateway.wire import ClientConnection
from penstock.router.route_request import Choice

log = logging.getLogger(__name__)

CLIENT_LEFT = 499  # nginx's code; nobody is sent it
_EXPLAIN_BYTES = 4096  # a header; common clients take 8 KiB for all of them


class Exchange:
    """One completion request."""

    __slots__ = (
        "_cached",
        "_client",
        "_code",
        "_means",
        "_meter",
        "_number",
        "_placement",
        "_prefill_failed",
        "_request",
        "_told",
        "_usage",
    )

    def __init__(self, number: int, request: Request, client: ClientConnection, means: Means) -> None:
        self._number = number
        self._request = request
        self._client = client
        self._means = means
        self._meter = StreamMeter(means.metrics, means.clock, request.arrived_s, self._first_token)
        self._placement: Placement | None = None
        self._told: list[Header] = []  # our headers, beside the worker's
        self._prefill_failed = False
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
            metrics.in_flight.dec()
            self._account()

    async def _serve(self) -> None:
        means, request = self._means, self._request
        parsed = parse_completion(Endpoint(request.path), request.body)
        reading = await means.prompts.read(parsed.prompt)
        means.metrics.request_prompt_tokens.observe(reading.tokens)
        self._placement = placement = Placement(self._number, parsed, reading, means)
        while True:
            choice = await placement.choose()
            if choice is None:
                assert placement.refusal is not None
                self._told = [(b"x-request-id", request.id)]
                self._pass_on(placement.refusal)
                return
            if await self._try(choice, parsed, placement):
                return

    # --- trying one worker

    async def _try(self, choice: Choice, parsed: CompletionRequest, placement: Placement) -> bool:
        """Give the request to the chosen. Returns: whether it was answered; else another is to be chosen."""
        means = self._means
        member = means.routing.member(choice.worker)
        self._told = self._headers_of(choice, placement)
        self._cached = None
        placement.sent(choice)
        body = parsed.body
        if choice.prefill_worker is not None:
            prefilled = await self._prefill(choice, parsed, placement)
            if prefilled is None:
                return False  # another prefill worker is to be chosen
            body = prefilled
        elif self._prefill_failed:
            means.metrics.fallbacks.inc()
        while True:
            relay, ending = await self._send(member, body)
            if body is not parsed.body and isinstance(ending, Whole) and ending.head.status in (500, 502, 504):
                # The engine is well, but the KV cannot be read: let it compute the prompt itself.
                means.metrics.retried("kv_transfer")
                body = self._alone(choice, parsed, placement)
                continue
            return self._judge(member, placement, relay, ending)

    async def _send(self, member: Member, body: bytes) -> tuple[Relay | None, Ending]:
        """Send the request to a worker, and relay what comes."""
        means, request, address = self._means, self._request, member.address
        query = b"?" + request.query if request.query else b""
        head = request_head(request, address.host_header, address.prefix + request.path + query, len(body))
        relay: Relay | None = None

        def relay_on(connection: UpstreamConnection) -> Relay:
            nonlocal relay
            if relay is not None:
                means.metrics.retried("stale_connection")
            limit = means.settings.upstream.buffered_bytes
            relay = Relay(request, self._client, connection, self._meter, self._told, limit)
            return relay

        ending = await means.pool.ask(address, relay_on, head, body)
        return relay, ending

    def _judge(self, member: Member, placement: Placement, relay: Relay | None, ending: Ending) -> bool:
        """What to make of how it ended. Returns: whether the request is answered. Raises: UpstreamError."""
        means, worker = self._means, member.record.id
        if isinstance(ending, Lost):
            if relay is None or not relay.committed:
                placement.failed(worker, ending.reason, delivered=ending.reason != "connect")
                return False
            if ending.reason != STALLED:  # else it was the client that gave up reading, and counts as gone
                means.metrics.streams_broken.inc()
                means.routing.failed(worker, means.clock())
                log.warning("worker %s was lost in the middle of an answer (%s)", worker, ending.reason)
                self._code = 502
            relay.break_off(ending)
            return True
        if isinstance(ending, Whole) and ending.head.status == 503:
            placement.refusal = ending
            placement.failed(worker, refusal_reason(ending), delivered=False)
            return False
        means.routing.answered(worker)
        if isinstance(ending, Streamed):
            self._usage = self._meter.counter.usage()
            self._code = ending.head.status
            self._client.finish(keep_alive=self._request.keep_alive)
        else:
            self._pass_on(ending)
        return True

    # --- prefill elsewhere

    async def _prefill(self, choice: Choice, parsed: CompletionRequest, placement: Placement) -> bytes | None:
        """Have the prompt computed. Returns: the body for decode, or None if another choice is to be made."""
        means, worker = self._means, choice.prefill_worker
        assert worker is not None
        address = means.routing.member(worker).address
        body = disaggregate.prefill_body(parsed)
        head = request_head(self._request, address.host_header, address.prefix + self._request.path, len(body))
        answer = await call(means.pool, address, Call(head, body))
        if isinstance(answer, Lost) or answer.head.status == 503:
            # Another prefill worker, if there is one; else the router lets decode do it all.
            reason = answer.reason if isinstance(answer, Lost) else refusal_reason(answer)
            placement.pass_over(worker, reason, stage="prefill_")
            self._prefill_failed = True
            return None
        if answer.head.status == 200:
            means.routing.answered(worker)
            usage, params = answer.usage(), disaggregate.transfer_params(answer.body)
            self._cached = usage.cached_tokens if usage is not None else None
            if params is not None:
                return disaggregate.decode_body(parsed, params)
            log.warning("prefill worker %s told no kv_transfer_params: decode computes the prompt", worker)
        elif answer.head.status < 500:
            return parsed.body  # it dislikes the request; decode will say so, in words for the client
        else:
            means.metrics.retried(f"prefill_status_{answer.head.status}")
        return self._alone(choice, parsed, placement)

    def _alone(self, choice: Choice, parsed: CompletionRequest, placement: Placement) -> bytes:
        """The decode worker is to do it all. Returns: the body for that."""
        self._means.metrics.fallbacks.inc()
        self._cached = None
        placement.sent(choice._replace(prefill_worker=None, hit_tokens=0))
        return parsed.body

    # --- answering

    def _pass_on(self, whole: Whole) -> None:
        """Give the client a worker's whole answer as it is."""
        head = whole.head
        self._usage = whole.usage()
        self._code = head.status
        headers = [*passed_to_client(head.headers), *self._told]
        if head.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(whole.body)))
        if not self._request.keep_alive:
            headers.append((b"connection", b"close"))
        self._client.write(response_head(head.status, headers) + whole.body)
        self._client.finish(keep_alive=self._request.keep_alive)

    def _refuse(self, error: GatewayError) -> None:
        self._code = error.status
        keep = self._request.keep_alive
        self._client.write(error_response(error, request_id=self._request.id, keep_alive=keep))
        self._client.finish(keep_alive=keep)

    def _headers_of(self, choice: Choice, placement: Placement) -> list[Header]:
        headers: list[Header] = [(b"x-request-id", self._request.id), (b"x-penstock-worker", choice.worker.encode())]
        if self._request.header(b"x-penstock-explain") is not None:
            headers.append((b"x-penstock-explain", _explanation(placement)))
        return headers

    # --- accounting

    def _first_token(self, now_s: float) -> None:
        if self._placement is not None:
            self._placement.first_token(now_s)

    def _account(self) -> None:
        metrics, usage, placement = self._means.metrics, self._usage, self._placement
        output = usage.output_tokens if usage is not None else self._meter.counter.tokens
        expected_hit = 0
        if placement is not None:
            expected_hit = placement.choice.hit_tokens if placement.choice is not None else 0
            placement.end(output)
        metrics.answered(self._code)
        metrics.request_duration.observe(self._means.clock() - self._request.arrived_s)
        metrics.output_tokens.inc(output)
        if self._code != 200 or placement is None:
            return
        prompt = placement.prompt_tokens if usage is None else usage.prompt_tokens
        cached = self._cached
        if cached is None:
            cached = usage.cached_tokens if usage is not None else None
        if cached is None:
            cached = expected_hit
        metrics.prompt_tokens.inc(prompt)
        metrics.prompt_tokens_cached.inc(min(cached, prompt))
        metrics.request_output_tokens.observe(output)
        if usage is not None:
            placement.learn_length(usage.prompt_tokens)


def _explanation(placement: Placement) -> bytes:
    """The router's reasons as one line of JSON, cheapest workers first, as many as fit."""
    document = dict(placement.explain().to_json())
    document["prices"] = list(document["prices"])
    while True:
        shown = orjson.dumps(document)
        if len(shown) <= _EXPLAIN_BYTES or not document["prices"]:
            return shown[:_EXPLAIN_BYTES]
        document["prices"].pop()
