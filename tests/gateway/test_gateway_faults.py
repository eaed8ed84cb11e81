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

from penstock.gateway.relay import Whole
from penstock.gateway.settings import UpstreamLimits
from penstock.gateway.upstream import Lost, UpstreamConnection, parse_address
from penstock.gateway.upstream_pool import UpstreamPool
from penstock.gateway.whole import WholeSink

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


def test_the_only_answer_left_is_passed_on_under_its_own_workers_name() -> None:
    async def test() -> None:
        async with running(FakeWorker([says(BUSY)], id="busy"), FakeWorker([says(b"", "reset")], id="dead")) as gateway:
            reply = await gateway.post(CHAT)  # round robin: the busy one first
            assert (reply.status, reply.headers.get("x-penstock-worker", "busy")) == (503, "busy")

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


def test_held_requests_try_again_whoever_may_take_them_now() -> None:
    """One worker said no to this request, and the other goes: nobody fails or comes after that."""

    async def test() -> None:
        stays = FakeWorker([says(BUSY), answer], id="stays")

        async def leave(asked: Asked) -> None:
            gateway.discovery.say([stays.record])
            await until(lambda: len(gateway.gateway.front.routing.members) == 1)
            asked.writer.write(DRAINING)

        async with running(stays, FakeWorker([leave], id="leaves")) as gateway:
            assert (await asyncio.wait_for(gateway.post(CHAT), 3)).headers["x-penstock-worker"] == "stays"

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


def test_a_cancellation_that_comes_late_spares_the_connections_next_request() -> None:
    """Its client left when the answer was complete, and the connection serves another request already."""

    async def test() -> None:
        worker = FakeWorker()
        await worker.start()
        pool = UpstreamPool(UpstreamLimits(), asyncio.get_running_loop().time)
        address = parse_address(worker.record.url)
        connections: list[UpstreamConnection] = []
        head = b"GET /health HTTP/1.1\r\nhost: w\r\n\r\n"
        second: list[asyncio.Future[Whole | Lost]] = []

        class First(WholeSink):
            def end(self) -> None:
                second.append(asyncio.ensure_future(pool.ask(address, receiver, head, b"")))
                super().end()
                first.cancel()

        def receiver(connection: UpstreamConnection) -> WholeSink:
            connections.append(connection)
            return (WholeSink if second else First)(10_000)

        first = asyncio.ensure_future(pool.ask(address, receiver, head, b""))
        await asyncio.wait({first})
        assert first.cancelled()
        assert isinstance(await asyncio.wait_for(second[0], 2), Whole)
        assert connections[0] is connections[1]
        pool.close()
        await worker.stop()

    run(test())


def test_an_answer_too_large_to_hold_back_is_relayed_as_it_comes() -> None:
    async def test() -> None:
        big = {"text": "x" * 100_000}
        async with running(FakeWorker([says(whole(big))]), upstream=UpstreamLimits(buffered_bytes=10_000)) as gateway:
            reply = await gateway.post(CHAT)
            assert reply.clean
            assert reply.json == big

    run(test())
