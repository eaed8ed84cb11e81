"""With no worker ready, requests wait: bounded, in order, and not for ever."""

import asyncio

import pytest
from gateway_fakes import CHAT, STREAM, FakeWorker, answer, read_reply, request, run, running, says, until, whole

from penstock.errors import Overloaded
from penstock.gateway.hold import HoldingRoom


def test_a_held_request_is_served_when_a_worker_comes_and_its_wait_counts_as_ttft() -> None:
    async def test() -> None:
        worker = FakeWorker()
        async with running() as gateway:
            asking = asyncio.ensure_future(gateway.post(STREAM))
            await until(lambda: len(gateway.gateway.front.room) == 1)
            assert await gateway.metric("held_requests") == 1
            assert await gateway.metric("requests_received_total") == 1, "the demand shows while it is held"
            await asyncio.sleep(0.1)
            await worker.start()
            gateway.discovery.say([worker.record])
            assert (await asking).status == 200
            assert await gateway.metric("held_requests") == 0
            assert await gateway.metric("time_to_first_token_seconds_sum") >= 0.1
            await worker.stop()

    run(test())


def test_held_requests_reach_the_worker_in_the_order_of_their_arrival() -> None:
    async def test() -> None:
        worker = FakeWorker()
        async with running() as gateway:
            asking = []
            for number in range(20):
                asking.append(asyncio.ensure_future(gateway.post(CHAT, headers=f"x-request-id: {number}\r\n")))
                await until(lambda: len(gateway.gateway.front.room) == len(asking))
            order: list[str] = []
            choose = gateway.gateway.front.routing.choose

            def choose_and_note(routed, now_s):  # type: ignore[no-untyped-def]
                choice = choose(routed, now_s)
                if choice is not None:
                    order.append(routed.id)
                return choice

            gateway.gateway.front.routing.choose = choose_and_note  # type: ignore[method-assign]
            await worker.start()
            gateway.discovery.say([worker.record])
            assert all(reply.status == 200 for reply in await asyncio.gather(*asking))
            assert order == sorted(order)
            await worker.stop()

    run(test())


def test_a_full_room_turns_away_with_retry_after() -> None:
    async def test() -> None:
        async with running(hold_max=1, hold_timeout_s=0.2) as gateway:
            first = asyncio.ensure_future(gateway.post(CHAT))
            await until(lambda: len(gateway.gateway.front.room) == 1)
            second = await gateway.post(CHAT)
            assert (second.status, second.json["error"]["type"]) == (503, "overloaded_error")
            assert int(second.headers["retry-after"]) >= 1
            timed_out = await first
            assert (timed_out.status, timed_out.json["error"]["code"]) == (503, "no_worker_ready")
            assert int(timed_out.headers["retry-after"]) >= 1
            assert await gateway.metric('requests_total{code="503"}') == 2

    run(test())


def test_a_client_that_leaves_gives_its_place_up() -> None:
    async def test() -> None:
        async with running() as gateway:
            _, writer = await gateway.connect()
            writer.write(request(CHAT))
            await until(lambda: len(gateway.gateway.front.room) == 1)
            writer.close()
            await until(lambda: len(gateway.gateway.front.room) == 0)

    run(test())


def test_all_workers_gone_and_another_back_loses_no_request() -> None:
    async def test() -> None:
        first, second = FakeWorker(id="first"), FakeWorker(id="second")
        async with running(first) as gateway:
            assert (await gateway.post(CHAT)).status == 200
            await first.stop()  # killed: discovery does not know it yet
            asking = [asyncio.ensure_future(gateway.post(document)) for document in (CHAT, STREAM) * 5]
            await until(lambda: len(gateway.gateway.front.room) == 10)
            gateway.discovery.say([])
            await second.start()
            gateway.discovery.say([second.record])
            assert [reply.status for reply in await asyncio.gather(*asking)] == [200] * 10
            await second.stop()

    run(test())


def test_a_gateway_that_ends_turns_held_requests_away_and_finishes_the_others() -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def slow(asked):  # type: ignore[no-untyped-def]
            await go_on.wait()
            await answer(asked)

        worker = FakeWorker([slow])
        async with running(worker) as gateway:
            reader, writer = await gateway.connect()
            writer.write(request(CHAT))
            await until(lambda: bool(worker.asked))
            gateway.discovery.say([])
            await until(lambda: not gateway.gateway.front.routing.members)
            held = asyncio.ensure_future(gateway.post(CHAT))
            await until(lambda: len(gateway.gateway.front.room) == 1)
            idle, idle_writer = await gateway.connect()
            await until(lambda: len(gateway.gateway.front.connections) == 3)
            ending = asyncio.ensure_future(gateway.gateway.stop(5.0))
            refused = await held
            assert (refused.status, refused.json["error"]["code"]) == (503, "shutting_down")
            assert await idle.read() == b""
            go_on.set()
            reply = await read_reply(reader)
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            await ending
            with pytest.raises(OSError):
                await gateway.connect()
            writer.close()
            idle_writer.close()

    run(test())


def test_a_gateway_that_ends_sends_what_is_answered_to_its_end() -> None:
    async def test() -> None:
        text = {"text": "x" * 12_000_000}
        async with running(FakeWorker([says(whole(text))])) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=65_536)
            writer.write(request(CHAT))
            await until(lambda: gateway.gateway.front.metrics.request_duration.count == 1)
            ending = asyncio.ensure_future(gateway.gateway.stop(5.0))
            await asyncio.sleep(0.1)
            reply = await read_reply(reader)
            assert (reply.clean, reply.json) == (True, text)
            await ending
            writer.close()

    run(test())


def test_who_comes_while_others_wait_does_not_overtake_and_is_not_forgotten() -> None:
    async def test() -> None:
        room = HoldingRoom(places=9, timeout_s=5, clock=asyncio.get_running_loop().time)
        first = room.enter()
        waiting = asyncio.ensure_future(room.wait(first))
        await asyncio.sleep(0)
        room.open_doors()
        late = room.enter()  # the doors were opened before it came
        waiting_late = asyncio.ensure_future(room.wait(late))
        await waiting
        assert not waiting_late.done()
        room.leave(first)
        await asyncio.wait_for(waiting_late, 1)
        room.leave(late)
        assert len(room) == 0

    run(test())


def test_a_ticket_keeps_its_deadline_when_it_comes_back() -> None:
    async def test() -> None:
        room = HoldingRoom(places=1, timeout_s=0.05, clock=asyncio.get_running_loop().time)
        ticket = room.enter()
        await asyncio.sleep(0.06)
        assert room.enter(ticket) is ticket
        with pytest.raises(Overloaded):
            await asyncio.wait_for(room.wait(ticket), 1)

    run(test())
