"""Clients that leave, do not read, send too much or nonsense: bounded, told why, and their work is stopped."""

import asyncio
import socket

import pytest
from gateway_fakes import (
    CHAT,
    DONE,
    SSE_HEAD,
    STREAM,
    Asked,
    Behaviour,
    FakeWorker,
    Running,
    chunk,
    completion,
    event,
    read_reply,
    request,
    run,
    running,
    says,
    until,
    whole,
)

from penstock.gateway.settings import UpstreamLimits, WireLimits
from penstock.messages.worker import Role


async def little_room(gateway: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that takes little in before it is read: the kernel would give it megabytes."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", gateway.port))
    return await asyncio.open_connection(sock=client, limit=65_536)


async def never(asked: Asked) -> None:
    await asyncio.sleep(30)


async def half_a_stream(asked: Asked) -> None:
    asked.writer.write(SSE_HEAD + chunk(event("one")))
    await asyncio.sleep(30)


PREFILLED = says(whole({**completion(), "kv_transfer_params": {"remote_host": "h"}}))


@pytest.mark.parametrize(
    ("prefill", "decode", "stopped"),
    [(never, never, "p"), (PREFILLED, never, "d"), (PREFILLED, half_a_stream, "d")],
    ids=["in prefill", "in decode before its first byte", "in decode"],
)
def test_a_client_that_leaves_stops_whichever_worker_has_its_request(
    prefill: Behaviour, decode: Behaviour, stopped: str
) -> None:
    async def test() -> None:
        pair = {
            "p": FakeWorker([prefill], id="p", role=Role.PREFILL),
            "d": FakeWorker([decode], id="d", role=Role.DECODE),
        }
        async with running(*pair.values()) as gateway:
            _, writer = await gateway.connect()
            writer.write(request(STREAM))
            await until(lambda: bool(pair[stopped].asked))
            await asyncio.sleep(0.02)
            writer.close()
            await asyncio.wait_for(pair[stopped].gone.wait(), 2)
            await until(lambda: gateway.gateway.front.routing.router.in_flight == 0)
            assert len(pair["d"].asked) == (stopped == "d")
            assert await gateway.metric('requests_total{code="499"}') == 1

    run(test())


def test_a_client_that_leaves_while_its_worker_is_being_connected_is_forgotten() -> None:
    async def test() -> None:
        with socket.socket() as full:  # its queue of connections is full: one more is never answered
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            filling = [socket.socket() for _ in range(4)]
            for one in filling:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            worker = FakeWorker(port=full.getsockname()[1])
            async with running(upstream=UpstreamLimits(connect_timeout_s=30)) as gateway:
                gateway.discovery.say([worker.record])
                await until(lambda: bool(gateway.gateway.front.routing.members))
                _, writer = await gateway.connect()
                writer.write(request(CHAT))
                await until(lambda: gateway.gateway.front.routing.router.in_flight == 1)
                writer.close()
                await until(lambda: gateway.gateway.front.routing.router.in_flight == 0)
                assert await gateway.metric('requests_total{code="499"}') == 1
            for one in filling:
                one.close()

    run(test())


def test_what_a_client_does_not_read_is_not_piled_up() -> None:
    """It asks and asks on one connection; what it was answered before must be read first."""

    async def test() -> None:
        worker = FakeWorker([says(whole({"text": "x" * 2_000_000}))])
        async with running(worker) as gateway:
            reader, writer = await little_room(gateway)
            for _ in range(30):
                writer.write(request(CHAT))
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.1)
            assert len(worker.asked) < 12, "60 MB would have been piled up"
            for _ in range(30):
                assert (await read_reply(reader)).clean
            writer.close()

    run(test())


def test_any_number_of_requests_may_come_at_once() -> None:
    async def test() -> None:
        async with running(FakeWorker()) as gateway:
            reader, writer = await gateway.connect()
            get = b"GET /live HTTP/1.1\r\nhost: g\r\n\r\n"
            writer.write(get * 2000 + request(CHAT) + get * 2000)
            statuses = [(await read_reply(reader)).status for _ in range(4001)]
            assert statuses == [200] * 4001
            writer.close()

    run(test())


def test_a_client_that_stops_reading_its_stream_is_cut_and_its_worker_not_blamed() -> None:
    async def test() -> None:
        async def flood(asked: Asked) -> None:
            asked.writer.write(SSE_HEAD)
            while True:
                asked.writer.write(chunk(event("x" * 60_000)))
                await asked.writer.drain()

        worker = FakeWorker([flood])
        limits = {"upstream": UpstreamLimits(silence_timeout_s=0.2), "wire": WireLimits(flush_timeout_s=0.2)}
        async with running(worker, scrape_interval_s=60, **limits) as gateway:
            front = gateway.gateway.front
            _, writer = await little_room(gateway)
            writer.write(request(STREAM))
            await until(lambda: not front.connections)
            assert front.routing.some_may_serve(front.clock())
            assert await gateway.metric('requests_total{code="499"}') == 1
            assert await gateway.metric("streams_broken_total") == 0
            writer.close()

    run(test())


@pytest.mark.parametrize("reads", [True, False], ids=["slowly", "not at all"])
def test_a_connection_that_is_to_close_is_cut_only_if_its_client_reads_no_more(
    reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.gateway.front._SWEEP_S", 1000.0)  # we sweep, and say what time it is

    async def test() -> None:
        worker = FakeWorker([says(whole({"text": "x" * 15_000_000}))])
        async with running(worker, wire=WireLimits(flush_timeout_s=50)) as gateway:
            front = gateway.gateway.front
            reader, writer = await little_room(gateway)
            writer.write(request(CHAT, headers="connection: close\r\n"))
            await until(lambda: front.metrics.request_duration.count == 1)
            (connection,) = front.connections
            taken, now_s = 0, front.clock()

            def unsent() -> int:
                return connection.transport.get_write_buffer_size() if connection.transport is not None else 0

            for _ in range(3):
                before = unsent()
                while reads and unsent() == before:
                    taken += len(await reader.readexactly(65_536))
                now_s += 60
                connection.sweep(now_s)
                await asyncio.sleep(0)
            await until(lambda: len(front.connections) == reads)
            if reads:
                assert taken + len(await reader.read()) > 15_000_000
            writer.close()

    run(test())


@pytest.mark.parametrize("document", [CHAT, STREAM], ids=["whole", "stream"])
def test_a_client_that_leaves_cancels_its_request_at_the_worker(document: dict) -> None:
    async def test() -> None:
        async def slow(asked: Asked) -> None:
            if asked.json.get("stream"):
                asked.writer.write(SSE_HEAD + chunk(event("one")))
            await asyncio.wait_for(worker.gone.wait(), 10)

        worker = FakeWorker([slow])
        async with running(worker) as gateway:
            reader, writer = await gateway.connect()
            writer.write(request(document))
            await until(lambda: bool(worker.asked))
            if document is STREAM:
                await reader.readuntil(b"one")
            writer.close()
            await asyncio.wait_for(worker.gone.wait(), 2)
            await until(lambda: gateway.gateway.front.routing.router.in_flight == 0)
            assert await gateway.metric('requests_total{code="499"}') == 1
            assert await gateway.metric("requests_in_flight") == 0

    run(test())


def test_a_client_that_reads_slowly_slows_its_worker_and_not_our_memory() -> None:
    async def test() -> None:
        written = 0

        async def flood(asked: Asked) -> None:
            nonlocal written
            piece = chunk(event("x" * 60_000))
            asked.writer.write(SSE_HEAD)
            for _ in range(1000):
                asked.writer.write(piece)
                written += len(piece)
                await asked.writer.drain()
            asked.writer.write(chunk(DONE) + b"0\r\n\r\n")

        async with running(FakeWorker([flood])) as gateway:
            reader, writer = await little_room(gateway)
            writer.write(request(STREAM))
            await reader.readexactly(1000)
            before = -1
            while before != written:  # until nothing moves any more
                before = written
                await asyncio.sleep(0.1)
            assert written < 30_000_000, "60 MB would have been taken in"
            size, data = 1000, b""
            while not data.endswith(b"0\r\n\r\n"):
                data = await reader.read(2**20)
                size += len(data)
            assert size > 60_000_000
            writer.close()

    run(test())


SMALL = WireLimits(head_bytes=2000, body_bytes=1000, connections=2, pipelined=4)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (request(b"x" * 2000), 413),
        (b"POST /v1/completions HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"x" * 2000), 413),
        (b"GET /health HTTP/1.1\r\nx: " + b"y" * 5000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: g\r\nexpect: miracles\r\n\r\n", 417),
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: g\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (request(b"{broken"), 400),
        (request(b"[1]"), 400),
    ],
)
def test_what_is_too_large_or_malformed_is_refused_in_the_openai_shape(raw: bytes, status: int) -> None:
    async def test() -> None:
        async with running(FakeWorker(), wire=SMALL) as gateway:
            reply = await gateway.send(raw)
            assert reply.status == status
            assert reply.json["error"]["type"] == "invalid_request_error"

    run(test())


def test_one_connection_too_many_is_told_to_come_back() -> None:
    async def test() -> None:
        async with running(wire=SMALL) as gateway:
            held = [await gateway.connect() for _ in range(2)]
            await until(lambda: len(gateway.gateway.front.connections) == 2)
            reply = await gateway.send(b"")
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            for _, writer in held:
                writer.close()

    run(test())


def test_a_request_that_never_ends_is_timed_out() -> None:
    async def test() -> None:
        async with running(wire=WireLimits(receive_timeout_s=0.05, idle_timeout_s=0.05)) as gateway:
            assert (await gateway.send(request(CHAT)[:-5])).status == 408
            reader, writer = await gateway.connect()
            assert await reader.read() == b"", "an idle connection is closed without a word"
            writer.close()

    run(test())


def test_whoever_is_refused_is_told_a_request_id() -> None:
    async def test() -> None:
        async with running(wire=SMALL) as gateway:
            big = await gateway.send(request(b"x" * 2000, headers="x-request-id: mine\r\n"))
            assert (big.status, big.headers["x-request-id"]) == (413, "mine")
            assert (await gateway.send(b"nonsense\r\n\r\n")).headers["x-request-id"]

    run(test())
