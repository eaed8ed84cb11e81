"""Fake workers with faults, a gateway on a free port, and a bare HTTP client: one event loop, real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvloop

from penstock.gateway.server import Gateway
from penstock.gateway.settings import GatewaySettings
from penstock.messages.worker import Role, WorkerRecord


@dataclass
class Asked:
    """A request as a fake worker got it."""

    line: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    connection: int

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


Behaviour = Callable[[Asked], Awaitable[None]]


def whole(document: Any, status: str = "200 OK", extra: str = "") -> bytes:
    """A response with content-length."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(content: str) -> bytes:
    document = {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}]}
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'


def usage_event(prompt: int, output: int, cached: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": cached}}
    return b"data: " + json.dumps({"choices": [], "usage": usage}, separators=(",", ":")).encode() + b"\n\n"


def completion(text: str = "hello", prompt: int = 7, output: int = 3, cached: int = 2) -> dict[str, Any]:
    details = {"cached_tokens": cached}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": details},
    }


async def answer(asked: Asked) -> None:
    """Behaves: streams or not, as asked."""
    document = asked.json
    if document.get("stream"):
        asked.writer.write(SSE_HEAD + chunk(ROLE))
        for word in ("one", "two", "three"):
            asked.writer.write(chunk(event(word)))
            await asked.writer.drain()
        asked.writer.write(chunk(usage_event(7, 3, 2)) + chunk(DONE) + b"0\r\n\r\n")
    else:
        asked.writer.write(whole(completion()))


def says(data: bytes, then: str = "keep") -> Behaviour:
    """Answers with these bytes; then keeps, closes or resets the connection."""

    async def behave(asked: Asked) -> None:
        asked.writer.write(data)
        if then == "close":
            await asked.writer.drain()
            asked.writer.close()
        elif then == "reset":
            asked.writer.transport.abort()

    return behave


@dataclass
class FakeWorker:
    """A worker on a free port. Each completion is answered by the next of `script`, the last one for good."""

    script: list[Behaviour] = field(default_factory=lambda: [answer])
    id: str = "w"
    role: Role = Role.WORKER
    asked: list[Asked] = field(default_factory=list)
    models: tuple[str, ...] = ("tiny",)
    metrics: bytes = b""
    healthy: bool = True
    kv_events: str | None = None
    kv_replay: str | None = None
    models_told: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)  # a connection ended while being answered
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _connections: int = 0

    @property
    def record(self) -> WorkerRecord:
        return WorkerRecord(
            id=self.id,
            url=f"http://127.0.0.1:{self.port}",
            component="worker",
            role=self.role,
            kv_events=self.kv_events,
            kv_replay=self.kv_replay,
        )

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """As a killed process: no more listening, all connections cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._connections += 1
        number = self._connections
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                await self._one(reader, writer, number)
        self._writers.discard(writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = head[0].split()[1]
        if path == "/health":
            writer.write(whole({"status": "ok"}, "200 OK" if self.healthy else "503 Service Unavailable"))
        elif path == "/metrics":
            writer.write(whole(self.metrics))
        elif path == "/v1/models":
            self.models_told += 1
            writer.write(whole({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}))
        else:
            asked = Asked(head[0], headers, body, writer, number)
            self.asked.append(asked)
            behave = self.script[min(len(self.asked), len(self.script)) - 1]
            watch = asyncio.ensure_future(self._watch(reader))
            try:
                await behave(asked)
            finally:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch
        await writer.drain()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        while not reader.at_eof():  # noqa: ASYNC110 - without reading: what comes belongs to the next request
            await asyncio.sleep(0.002)
        self.gone.set()


class ListDiscovery:
    """Says what it is told (`discovery.Discovery`)."""

    def __init__(self, records: Sequence[WorkerRecord] = ()) -> None:
        self._queue: asyncio.Queue[Sequence[WorkerRecord]] = asyncio.Queue()
        self._queue.put_nowait(list(records))

    def say(self, records: Sequence[WorkerRecord]) -> None:
        self._queue.put_nowait(list(records))

    async def watch(self) -> AsyncIterator[Sequence[WorkerRecord]]:
        while True:
            yield await self._queue.get()


@dataclass
class Reply:
    """A response as a client got it. `clean`: its framing came to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    clean: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split()[1])
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    body, clean = b"", True
    try:
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += await reader.readexactly(size)
                assert await reader.readexactly(2) == b"\r\n"
            assert await reader.readuntil(b"\r\n") == b"\r\n"
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        elif status != 100:
            body = await reader.read()
    except asyncio.IncompleteReadError as error:
        body += error.partial if "content-length" in headers else b""
        clean = False
    except ConnectionError:
        clean = False
    return Reply(status, headers, body, clean)


def request(document: Any, path: str = "/v1/chat/completions", headers: str = "", version: str = "1.1") -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    head = f"POST {path} HTTP/{version}\r\nhost: gateway\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
STREAM = {**CHAT, "stream": True}


@dataclass
class Running:
    """A gateway that runs, and who it knows."""

    gateway: Gateway
    discovery: ListDiscovery

    @property
    def port(self) -> int:
        return self.gateway.port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**22)

    async def send(self, raw: bytes) -> Reply:
        """One request on a connection of its own."""
        reader, writer = await self.connect()
        try:
            writer.write(raw)
            return await read_reply(reader)
        finally:
            writer.close()

    async def post(self, document: Any, **more: str) -> Reply:
        return await self.send(request(document, **more))

    async def get(self, path: str) -> Reply:
        return await self.send(f"GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n".encode())

    async def metric(self, name: str) -> float:
        """The value of one sample, by its name with labels; 0 if it is not there."""
        text = (await self.get("/metrics")).body.decode()
        for line in text.splitlines():
            if line.startswith(f"penstock_gateway_{name} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


@asynccontextmanager
async def running(*workers: FakeWorker, tokenizer: Any = None, **settings: Any) -> AsyncIterator[Running]:
    """A gateway before these workers, all ended at the exit; checks that nothing is left in flight."""
    for worker in workers:
        if worker._server is None:
            await worker.start()
    settings.setdefault("policy", "round-robin")
    gateway = Gateway(GatewaySettings(port=0, **settings), tokenizer)
    discovery = ListDiscovery([worker.record for worker in workers])
    await gateway.start(discovery)
    await until(lambda: len(gateway.front.routing.members) == len(workers))
    try:
        yield Running(gateway, discovery)
        for _ in range(200):
            if not gateway.front.routing.router.in_flight:
                break
            await asyncio.sleep(0.005)
        assert gateway.front.routing.router.in_flight == 0, "the router still counts a request"
        assert len(gateway.front.room) == 0, "the holding room still counts a request"
    finally:
        await gateway.stop(0.0)
        for worker in workers:
            await worker.stop()
        await asyncio.sleep(0)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test on the loop that the gateway runs on for real."""

    async def limited() -> None:
        async with asyncio.timeout(20):
            await test

    uvloop.run(limited())


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until it holds."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never came about"
        await asyncio.sleep(0.002)
