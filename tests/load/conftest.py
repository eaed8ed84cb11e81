"""A real HTTP server whose answers are scripts, and an open loop to try on it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from penstock.load.body import Endpoint
from penstock.load.exchange import Exchange
from penstock.load.pace import OpenLoop
from penstock.load.target import Target
from penstock.messages.outcome import RequestOutcome
from penstock.workload.arrival import Arrival
from penstock.workload.prompts import Prompts

WORDS = [f"w{number}" for number in range(256)]
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

Answer = Callable[["Connection", dict[str, object]], Awaitable[None]]


@dataclass
class Connection:
    """What a script writes to. Nothing is added: a script can break every rule of HTTP."""

    writer: asyncio.StreamWriter

    async def head(self) -> None:
        await self.raw(STREAM_HEAD)

    async def event(self, document: object) -> None:
        await self.chunk(
            b"data: " + (document if isinstance(document, bytes) else json.dumps(document).encode()) + b"\n\n"
        )

    async def token(self, text: str = " w") -> None:
        await self.event({"choices": [{"text": text, "finish_reason": None}]})

    async def end(self, *, prompt: int = 0, output: int = 0, cached: int = 0) -> None:
        """The finish reason, usage, [DONE] and the last chunk."""
        await self.event({"choices": [{"text": "", "finish_reason": "length"}]})
        details = {"cached_tokens": cached}
        usage = {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": details}
        await self.event({"choices": [], "usage": usage})
        await self.event(b"[DONE]")
        await self.raw(b"0\r\n\r\n")

    async def plain(self, status: int, document: object, kind: str = "application/json") -> None:
        body = json.dumps(document).encode()
        await self.raw(
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )

    async def chunk(self, data: bytes) -> None:
        await self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        self.writer.transport.abort()


@dataclass
class FakeServer:
    """Answers each request by its script; remembers the bodies and when they came."""

    answer: Answer
    bodies: list[dict[str, object]] = field(default_factory=list)
    came_s: list[float] = field(default_factory=list)
    port: int = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (int(line[15:]) for line in head.split("\r\n") if line.lower()[:15] == "content-length:"), 0
                )
                body = json.loads(await reader.readexactly(length)) if length else {}
                if head.startswith("GET /v1/models"):
                    await Connection(writer).plain(200, {"data": [{"id": "fake"}]})
                    continue
                self.bodies.append(body)
                self.came_s.append(time.perf_counter())
                await self.answer(Connection(writer), body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[FakeServer]:
    fake = FakeServer(answer)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()


@dataclass
class Tried:
    """What an open loop came to against a fake server."""

    outcomes: list[RequestOutcome]
    server: FakeServer
    loop: OpenLoop
    exchange: Exchange
    error: Exception | None


TryLoop = Callable[..., Tried]


@pytest.fixture
def try_loop() -> TryLoop:
    """Run arrivals against a scripted server; returns when the last answer is in."""

    def run(
        answer: Answer,
        arrivals: Iterable[Arrival],
        *,
        timeout_s: float = 5.0,
        max_in_flight: int = 100,
        endpoint: Endpoint = Endpoint.COMPLETIONS,
        on_outcome: Callable[[RequestOutcome], None] = lambda outcome: None,
        stop_after_s: float | None = None,
    ) -> Tried:
        return asyncio.run(_run(answer, arrivals, timeout_s, max_in_flight, endpoint, on_outcome, stop_after_s))

    return run


async def _run(
    answer: Answer,
    arrivals: Iterable[Arrival],
    timeout_s: float,
    max_in_flight: int,
    endpoint: Endpoint,
    on_outcome: Callable[[RequestOutcome], None],
    stop_after_s: float | None,
) -> Tried:
    outcomes: list[RequestOutcome] = []

    def ended(outcome: RequestOutcome) -> None:
        outcomes.append(outcome)
        on_outcome(outcome)

    connector = aiohttp.TCPConnector(limit=0)
    async with serving(answer) as fake, aiohttp.ClientSession(connector=connector) as session:
        began_s = time.perf_counter() + 0.05

        def now_s() -> float:
            return time.perf_counter() - began_s

        target = Target(base=fake.base, model="fake", endpoint=endpoint, headers={"Content-Type": "application/json"})
        exchange = Exchange(session, target, now_s, timeout_s=timeout_s)
        loop = OpenLoop(exchange, Prompts(WORDS), now_s, ended, run_id="test", max_in_flight=max_in_flight)
        if stop_after_s is not None:
            asyncio.get_running_loop().call_later(stop_after_s, loop.stop)
        error = None
        try:
            await loop.run(arrivals)
        except Exception as raised:  # noqa: BLE001  # handed to the test
            error = raised
    return Tried(sorted(outcomes, key=lambda outcome: outcome.intended_s), fake, loop, exchange, error)


@pytest.fixture
def server_context() -> Callable[[Answer], "object"]:
    """`async with server_context(script) as fake`."""
    return serving
