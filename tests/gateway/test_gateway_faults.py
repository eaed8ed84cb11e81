"""Workers that fail: before the first byte nobody notices, after it nobody is deceived."""

import asyncio
import json

import pytest
from gateway_fakes import (
    CHAT,
    DONE,
    SSE_HEAD,
    STREAM,
    Asked,
    Behaviour,
    FakeWorker,
    answer,
    chunk,
    event,
    request,
    run,
    running,
    says,
    until,
    whole,
)

from penstock.gateway.settings import UpstreamLimits, WireLimits

DRAINING = whole({"error": {"message": "x", "type": "y", "code": "draining"}}, "503 Service Unavailable")
BUSY = whole({"error": {"message": "busy"}}, "503 Service Unavailable", extra="retry-after: 7\r\n")

BEFORE_FIRST_BYTE: dict[str, Behaviour] = {
    "closed": says(b"", "close"),
    "reset": says(b"", "reset"),
    "head cut": says(b"HTTP/1.1 200 OK\r\ncontent-ty", "close"),
    "head only": says(SSE_HEAD, "close"),
    "body cut": says(whole({"a": "b"})[:-3], "close"),
    "garbage": says(b"\x00\x01 what is this\r\n\r\n", "keep"),
    "endless head": says(b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"y" * 100_000, "keep"),
    "odd coding": says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc", "keep"),
    "two lengths": says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc", "keep"),
    "more than its length": says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", "keep"),
    "draining": says(DRAINING),
    "busy": says(BUSY),
}


@pytest.mark.parametrize("document", [CHAT, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", BEFORE_FIRST_BYTE)
def test_another_worker_takes_a_request_that_failed_before_its_first_byte(fault: str, document: dict) -> None:
    async def test() -> None:
        bad, good = FakeWorker([BEFORE_FIRST_BYTE[fault]], id="bad"), FakeWorker(id="good")
        async with running(bad, good) as gateway:
            for _ in range(2):  # round robin: one of the two meets the bad one first
                reply = await gateway.post(document)
                assert (reply.status, reply.clean, reply.headers["x-penstock-worker"]) == (200, True, "good")
            assert len(bad.asked) == (2 if fault == "busy" else 1), (
                "it is avoided, unless the 503 was about one request"
            )
            assert (
                gateway.gateway.front.metrics.registry.get_sample_value(
                    "penstock_gateway_requests_total", {"code": "200"}
                )
                == 2
            )

    run(test())


def test_a_refused_connection_sends_the_request_elsewhere() -> None:
    async def test() -> None:
        bad, good = FakeWorker(id="bad"), FakeWorker(id="good")
        async with running(bad, good) as gateway:
            await bad.stop()
            for _ in range(4):
                assert (await gateway.post(CHAT)).headers["x-penstock-worker"] == "good"
            assert await gateway.metric('retries_total{reason="connect"}') == 1, "it is avoided after the first time"

    run(test())


def test_a_kept_connection_that_its_worker_closed_is_no_failure() -> None:
    async def test() -> None:
        async def close_then(asked: Asked) -> None:
            if len(worker.asked) == 2:
                asked.writer.close()  # the request crossed with the worker's closing
            else:
                await answer(asked)

        worker = FakeWorker([close_then])
        async with running(worker, scrape_interval_s=60) as gateway:
            assert [(await gateway.post(CHAT)).status for _ in range(2)] == [200, 200]
            assert await gateway.metric('retries_total{reason="stale_connection"}') == 1
            assert await gateway.metric('retries_total{reason="closed"}') == 0

    run(test())


def test_a_request_that_kills_workers_is_refused_after_a_bounded_number() -> None:
    async def test() -> None:
        workers = [FakeWorker([says(b"", "reset")], id=f"w{n}") for n in range(6)]
        async with running(*workers) as gateway:
            reply = await gateway.post(CHAT)
            assert (reply.status, reply.json["error"]["code"]) == (502, "workers_failed")
            # A reset of a kept connection may be no failure, so it costs one more try each.
            assert 3 <= sum(len(worker.asked) for worker in workers) <= 6

    run(test())


def test_the_503_of_the_only_worker_is_passed_on_with_its_retry_after() -> None:
    async def test() -> None:
        async with running(FakeWorker([says(BUSY)])) as gateway:
            reply = await gateway.post(CHAT)
            assert (reply.status, reply.headers["retry-after"], reply.json) == (
                503,
                "7",
                {"error": {"message": "busy"}},
            )

    run(test())


def test_a_request_that_meets_the_last_worker_draining_waits_for_the_next() -> None:
    async def test() -> None:
        last, following = FakeWorker([says(DRAINING)], id="last"), FakeWorker(id="next")
        async with running(last) as gateway:
            asking = asyncio.ensure_future(gateway.post(CHAT))
            await until(lambda: bool(last.asked))
            await following.start()
            gateway.discovery.say([following.record])
            assert (await asking).headers["x-penstock-worker"] == "next"
            await following.stop()

    run(test())


def test_the_only_worker_is_tried_again_after_a_moment() -> None:
    async def test() -> None:
        async with running(FakeWorker([says(b"", "reset"), answer])) as gateway:
            assert (await gateway.post(CHAT)).status == 200

    run(test())


def test_a_silent_worker_is_given_up() -> None:
    async def test() -> None:
        async def silent(asked: Asked) -> None:
            await asyncio.sleep(30)

        bad, good = FakeWorker([silent], id="bad"), FakeWorker(id="good")
        async with running(bad, good, upstream=UpstreamLimits(silence_timeout_s=0.2)) as gateway:
            replies = [await gateway.post(CHAT) for _ in range(2)]
            assert {reply.headers["x-penstock-worker"] for reply in replies} == {"good"}
            assert await gateway.metric('retries_total{reason="silent"}') == 1

    run(test())


def test_a_stream_cut_between_chunks_ends_in_an_error_event_and_not_cleanly() -> None:
    async def test() -> None:
        worker = FakeWorker([says(SSE_HEAD + chunk(event("one")) + chunk(event("two")), "close")])
        async with running(worker) as gateway:
            reply = await gateway.post(STREAM)
            assert not reply.clean
            last = reply.body.rstrip().rpartition(b"data: ")[2]
            assert json.loads(last)["error"]["code"] == "worker_lost"
            assert await gateway.metric("streams_broken_total") == 1

    run(test())


@pytest.mark.parametrize("cut", [chunk(event("two"))[:-1], chunk(event("two"))[:-20], b"5", chunk(event("two")[:-2])])
def test_a_stream_cut_elsewhere_ends_without_its_end(cut: bytes) -> None:
    async def test() -> None:
        worker = FakeWorker([says(SSE_HEAD + chunk(event("one")) + cut, "close")])
        async with running(worker) as gateway:
            reply = await gateway.post(STREAM)
            assert not reply.clean
            assert event("one") in reply.body
            assert b"worker_lost" not in reply.body, "nothing can be said in the middle of a chunk or an event"

    run(test())


def test_a_stream_that_ends_by_closing_without_done_is_cut_too() -> None:
    async def test() -> None:
        worker = FakeWorker(
            [says(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + event("one"), "close")]
        )
        async with running(worker) as gateway:
            reply = await gateway.post(STREAM)
            assert not reply.clean
            assert b"worker_lost" in reply.body

    run(test())


def test_bytes_behind_the_end_of_a_stream_are_never_passed_on() -> None:
    async def test() -> None:
        worker = FakeWorker([says(SSE_HEAD + chunk(event("one"))), answer])

        async def trailing(asked: Asked) -> None:
            asked.writer.write(SSE_HEAD + chunk(event("one")))
            await asked.writer.drain()
            await asyncio.sleep(0.01)
            asked.writer.write(chunk(DONE) + b"0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")

        worker.script = [trailing]
        async with running(worker) as gateway:
            reader, writer = await gateway.connect()
            writer.write(request(STREAM))
            assert b"evil" not in await reader.read()
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
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=65_536)
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


def test_an_answer_too_large_to_hold_back_is_relayed_as_it_comes() -> None:
    async def test() -> None:
        big = {"text": "x" * 100_000}
        async with running(FakeWorker([says(whole(big))]), upstream=UpstreamLimits(buffered_bytes=10_000)) as gateway:
            reply = await gateway.post(CHAT)
            assert reply.clean
            assert reply.json == big

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
