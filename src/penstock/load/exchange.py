"""One request over HTTP: from its intended instant to its outcome. Never raises for what a server does.

Refused (429, 503) is told from failed (anything else that is not a whole answer). An answer is whole if a finish
reason or [DONE] came, and a token. Nothing is sent twice, but for a server that refuses the fields that make the
length exact (see `body`): a client that retries hides what users of plain clients would see.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import orjson

from penstock.load.answer import AnswerReader, message_of
from penstock.load.body import refuses_exact_length, request_body
from penstock.load.target import Target, why_not_connected
from penstock.messages.outcome import Ending, RequestOutcome

_MAX_ERROR_BYTES = 64 * 1024  # of an error's body; the rest is not read


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What to send. `intended_s` counts from the start of the run."""

    id: str
    intended_s: float
    prompt: str = field(repr=False)
    input_tokens: int
    output_tokens: int


@dataclass(slots=True)
class _Answered:
    """What one attempt came to, before it is judged."""

    status: int = 0
    error: str | None = None
    reader: AnswerReader = field(default_factory=AnswerReader)


class Exchange:
    """Sends requests to one target. `exact_length` turns off for good once the server refuses its fields.

    Args:
        now_s: seconds since the start of the run.
        timeout_s: from sending until the last byte.
    """

    def __init__(
        self, session: aiohttp.ClientSession, target: Target, now_s: Callable[[], float], *, timeout_s: float
    ) -> None:
        self._session = session
        self._target = target
        self._now_s = now_s
        self._timeout_s = timeout_s
        self.exact_length = True
        # Prompt tokens asked for and counted by the server, over requests of which it told.
        self.asked_tokens = 0
        self.counted_tokens = 0

    async def perform(self, ask: Ask, sent_s: float) -> RequestOutcome:
        """Send it now and wait for its end."""
        exact = self.exact_length
        answered = _Answered()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._attempt(ask, answered, exact_length=exact)
                if exact and refuses_exact_length(answered.status, answered.error or ""):
                    self.exact_length = False
                    answered = _Answered()
                    await self._attempt(ask, answered, exact_length=False)
        except TimeoutError:
            answered.error = f"no end within {self._timeout_s:g} s"
        return self._judge(ask, sent_s, answered)

    async def _attempt(self, ask: Ask, answered: _Answered, *, exact_length: bool) -> None:
        target = self._target
        body = request_body(target.endpoint, target.model, ask.prompt, ask.output_tokens, exact_length=exact_length)
        headers = {**target.headers, "X-Request-Id": ask.id}
        try:
            async with self._session.post(target.url, data=body, headers=headers) as response:
                answered.status = response.status
                if response.status != 200:
                    answered.error = await _error_of(response)
                elif response.content_type != "text/event-stream":
                    answered.error = f"answers with {response.content_type}, not with a stream"
                else:
                    feed, now_s = answered.reader.feed, self._now_s
                    async for data in response.content.iter_any():
                        feed(data, now_s())
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            answered.error = _reason(error, answered.reader.token_events)

    def _judge(self, ask: Ask, sent_s: float, answered: _Answered) -> RequestOutcome:
        reader = answered.reader
        first_s = reader.first_token_s
        error = answered.error or reader.error
        if error is None and not (reader.done or reader.finish_reason):
            error = f"the stream ended early, after {reader.token_events} tokens"
        if error is None and first_s is None:
            error = "the answer has no token"
        if error is None:
            ending = Ending.COMPLETED
        else:
            ending = Ending.REJECTED if answered.status in (429, 503) else Ending.FAILED
        prompt_tokens = reader.prompt_tokens
        if prompt_tokens is not None:
            self.asked_tokens += ask.input_tokens
            self.counted_tokens += prompt_tokens
        return RequestOutcome(
            id=ask.id,
            intended_s=ask.intended_s,
            sent_s=sent_s,
            ending=ending,
            status=answered.status,
            ttft_s=None if first_s is None else first_s - ask.intended_s,
            e2e_s=self._now_s() - ask.intended_s,
            itl_s=reader.gaps(),
            prompt_tokens=ask.input_tokens if prompt_tokens is None else prompt_tokens,
            prompt_cached_tokens=reader.cached_tokens,
            output_tokens=reader.output_tokens,
            error=error,
        )


async def _error_of(response: aiohttp.ClientResponse) -> str:
    text = await response.content.read(_MAX_ERROR_BYTES)
    try:
        message = message_of(orjson.loads(text))
    except orjson.JSONDecodeError:
        message = None
    return f"status {response.status}: {message}" if message else f"status {response.status}"


def _reason(error: Exception, tokens: int) -> str:
    when = f" after {tokens} tokens" if tokens else ""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect ({why_not_connected(error)})"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | ConnectionError):
        return f"the connection was cut{when}"
    return f"{type(error).__name__}{when}"
