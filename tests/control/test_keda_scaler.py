"""The planner as KEDA's external scaler, asked by a real gRPC client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from penstock.control.keda_counts import MAX_STREAMS, STALE_S, KedaCounts
from penstock.control.keda_messages import SERVICE, message
from penstock.control.keda_scaler import serving
from penstock.errors import InputError

KEY = ("ns", "d-worker")
PATIENCE_S = 20.0


class Client:
    """Asks as KEDA's operator does."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.reference = message("ScaledObjectRef")(namespace=KEY[0], name=KEY[1])

    async def call(self, method: str, request: Any, answer: str) -> Any:
        asked = self._channel.unary_unary(
            f"/{SERVICE}/{method}", type(request).SerializeToString, message(answer).FromString
        )
        return await asked(request, timeout=PATIENCE_S)

    async def is_active(self) -> bool:
        return bool((await self.call("IsActive", self.reference, "IsActiveResponse")).result)

    async def metric(self, name: str = "replicas") -> float:
        request = message("GetMetricsRequest")(scaledObjectRef=self.reference, metricName=name)
        (value,) = (await self.call("GetMetrics", request, "GetMetricsResponse")).metricValues
        return float(value.metricValueFloat)

    def stream(self) -> Any:
        asked = self._channel.unary_stream(
            f"/{SERVICE}/StreamIsActive",
            message("ScaledObjectRef").SerializeToString,
            message("IsActiveResponse").FromString,
        )
        return asked(self.reference)


class Hand:
    """A clock moved by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def asked(test: Callable[[Client, KedaCounts, Hand], Awaitable[None]]) -> None:
    async def run() -> None:
        hand = Hand()
        counts = KedaCounts(hand)
        async with serving(counts, "127.0.0.1:0") as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await test(Client(channel), counts, hand)

    asyncio.run(run())


@contextlib.asynccontextmanager
async def refused(code: grpc.StatusCode, said: str) -> AsyncIterator[None]:
    with pytest.raises(grpc.aio.AioRpcError, match=said) as caught:
        yield
    assert caught.value.code() is code


def test_it_says_what_was_decided_and_whether_any_is_wanted() -> None:
    async def test(client: Client, counts: KedaCounts, hand: Hand) -> None:
        (spec,) = (await client.call("GetMetricSpec", client.reference, "GetMetricSpecResponse")).metricSpecs
        assert (spec.metricName, spec.targetSizeFloat) == ("replicas", 1.0)
        counts.seen(KEY, 2)
        counts.want(KEY, 3)
        assert (await client.metric(), await client.is_active()) == (3.0, True)
        counts.seen(KEY, 3)
        counts.want(KEY, 0)
        assert (await client.metric(), await client.is_active()) == (0.0, False)

    asked(test)


def test_what_is_not_known_is_an_error_and_never_a_number() -> None:
    """Not ours; not decided yet; not looked at for a minute. KEDA leaves the replicas alone on each of them."""

    async def test(client: Client, counts: KedaCounts, hand: Hand) -> None:
        for ask in (client.metric, client.is_active):
            async with refused(grpc.StatusCode.NOT_FOUND, "ns/d-worker"):
                await ask()
        counts.seen(KEY, 1)
        for ask in (client.metric, client.is_active):
            async with refused(grpc.StatusCode.UNAVAILABLE, "not decided yet"):
                await ask()
        counts.want(KEY, 2)
        hand.now_s = STALE_S + 1
        for ask in (client.metric, client.is_active):
            async with refused(grpc.StatusCode.UNAVAILABLE, "not looked at it for 61 s"):
                await ask()
        counts.seen(KEY, 1)
        assert await client.metric() == 2.0
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "no metric 'other'"):
            await client.metric("other")
        counts.only([])
        async with refused(grpc.StatusCode.NOT_FOUND, "ns/d-worker"):
            await client.metric()

    asked(test)


def test_a_stream_tells_each_change_at_once_and_waits_for_a_first_decision() -> None:
    async def test(client: Client, counts: KedaCounts, hand: Hand) -> None:
        stream = client.stream()

        async def next_one() -> bool:
            return bool((await asyncio.wait_for(stream.read(), PATIENCE_S)).result)

        waiting = asyncio.ensure_future(next_one())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        counts.seen(KEY, 0)
        counts.want(KEY, 0)
        assert await waiting is False
        for desired, says in ((2, True), (3, None), (0, False), (0, None), (1, True)):
            counts.want(KEY, desired)
            if says is not None:
                assert await next_one() is says
        stream.cancel()

    asked(test)


def test_streams_are_bounded_and_make_room_when_they_end() -> None:
    async def test(client: Client, counts: KedaCounts, hand: Hand) -> None:
        counts.seen(KEY, 1)
        counts.want(KEY, 1)
        streams = [client.stream() for _ in range(MAX_STREAMS)]
        for stream in streams:
            assert (await asyncio.wait_for(stream.read(), PATIENCE_S)).result
        async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "follow it already"):
            await asyncio.wait_for(client.stream().read(), PATIENCE_S)
        streams[0].cancel()
        async with asyncio.timeout(PATIENCE_S):
            while True:  # the server learns of it a little later
                with contextlib.suppress(grpc.aio.AioRpcError):
                    assert (await client.stream().read()).result
                    break
        assert await client.is_active()

    asked(test)


def test_garbage_is_refused_and_the_next_call_is_answered() -> None:
    async def test(client: Client, counts: KedaCounts, hand: Hand) -> None:
        counts.seen(KEY, 1)
        counts.want(KEY, 1)
        for method in ("IsActive", "GetMetricSpec", "GetMetrics", "StreamIsActive", "NoSuch"):
            for garbage in (b"\xff\xff\xff\xff", b"\x0a\x7f", b"\x0a" + b"\xff" * 70_000):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await client._channel.unary_unary(f"/{SERVICE}/{method}")(garbage, timeout=PATIENCE_S)
                assert caught.value.code() in (
                    grpc.StatusCode.INTERNAL,
                    grpc.StatusCode.UNIMPLEMENTED,
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    grpc.StatusCode.UNKNOWN,
                )
        huge = message("ScaledObjectRef")(namespace="n" * 1000, name="x")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.call("IsActive", huge, "IsActiveResponse")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert await client.is_active()

    asked(test)


def test_messages_are_those_of_the_interface_on_the_wire() -> None:
    """As any other implementation would write them: tag and type of each field."""
    reference = message("ScaledObjectRef")(name="n", namespace="s")
    reference.scalerMetadata.add(key="k", value="v")
    assert reference.SerializeToString() == b"\x0a\x01n\x12\x01s\x1a\x06\x0a\x01k\x12\x01v"
    asked_of = message("GetMetricsRequest")(scaledObjectRef=reference, metricName="m")
    assert asked_of.SerializeToString() == b"\x0a\x0e" + reference.SerializeToString() + b"\x12\x01m"
    value = message("MetricValue")(metricName="m", metricValue=2, metricValueFloat=1.0)
    assert value.SerializeToString() == b"\x0a\x01m\x10\x02\x19\x00\x00\x00\x00\x00\x00\xf0\x3f"
    spec = message("MetricSpec")(metricName="m", targetSize=1, targetSizeFloat=1.0)
    assert spec.SerializeToString() == b"\x0a\x01m\x10\x01\x19\x00\x00\x00\x00\x00\x00\xf0\x3f"
    assert message("IsActiveResponse")(result=True).SerializeToString() == b"\x08\x01"


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    async def test() -> None:
        counts = KedaCounts(Hand())
        async with serving(counts, "127.0.0.1:0") as port:
            with pytest.raises(InputError, match="--keda-listen"):
                async with serving(counts, f"127.0.0.1:{port}"):
                    pass

    asyncio.run(test())
