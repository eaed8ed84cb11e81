"""Faults of all kinds at once: a client gets its answers whole and in order, or sees the cut; nothing stays behind."""

import asyncio
import random
from collections import Counter
from contextlib import suppress

import pytest
from gateway_fakes import (
    CHAT,
    DONE,
    ROLE,
    SSE_HEAD,
    STREAM,
    Asked,
    FakeWorker,
    Running,
    answer,
    chunk,
    completion,
    event,
    read_reply,
    request,
    run,
    running,
    until,
    whole,
)

from penstock.gateway.settings import UpstreamLimits
from penstock.messages.worker import Role
from penstock.router.router import Router

CLIENTS, SECONDS = 20, 1.5
DRAINING = whole({"error": {"code": "draining"}}, "503 Service Unavailable")


class Chance:
    """What workers and clients do next, by one seed."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    async def behave(self, asked: Asked) -> None:
        """Mostly well."""
        with suppress(RuntimeError, ConnectionError):  # its connection is gone meanwhile
            await self._behave(asked, asked.writer, self.draw.random())

    async def _behave(self, asked: Asked, writer: asyncio.StreamWriter, kind: float) -> None:
        await asyncio.sleep(0.005 * self.draw.random())
        if kind < 0.6:
            if asked.json.get("kv_transfer_params", {}).get("do_remote_decode"):
                writer.write(whole({**completion(), "kv_transfer_params": {"remote_host": "h"}}))
            elif asked.json.get("stream"):
                await self._stream(writer)
            else:
                await answer(asked)
        elif kind < 0.7:
            writer.write(self.draw.choice([DRAINING, whole({}, "503 Busy"), whole({}, "400 Bad"), whole({}, "500 Oh")]))
        elif kind < 0.95:
            writer.write(self.draw.choice([b"", b"garbage\r\n\r\n", SSE_HEAD + chunk(event("a"))[:-9], SSE_HEAD]))
            await writer.drain()
            (writer.close if self.draw.random() < 0.5 else writer.transport.abort)()
        else:
            await asyncio.sleep(0.1)
            await answer(asked)

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD + chunk(ROLE))
        for _ in range(self.draw.randint(1, 10)):
            data = chunk(event("x" * self.draw.choice([1, 100, 5000])))
            cut = self.draw.randrange(len(data))
            writer.write(data[:cut])
            await asyncio.sleep(0.001 * self.draw.random())
            writer.write(data[cut:])
        writer.write(chunk(DONE) + b"0\r\n\r\n")

    async def ask(self, gateway: Running, seen: Counter[str]) -> None:
        """One connection, with some requests on it, left at some point."""
        reader, writer = await gateway.connect()
        documents = [self.draw.choice([CHAT, STREAM]) for _ in range(self.draw.randint(1, 4))]
        names = [f"r{self.draw.random()}" for _ in documents]
        for document, name in zip(documents, names, strict=True):
            writer.write(request(document, headers=f"x-request-id: {name}\r\n"))
        if self.draw.random() < 0.2:
            await asyncio.sleep(0.02 * self.draw.random())
            writer.transport.abort()
            return
        for document, name in zip(documents, names, strict=True):
            reply = await asyncio.wait_for(read_reply(reader), 10)
            assert reply.headers["x-request-id"] == name
            if not reply.clean:
                seen["cut"] += 1
                break
            seen[str(reply.status)] += 1
            if reply.status == 200 and document is STREAM:
                assert reply.body.endswith(DONE)
        writer.close()

    async def shake(self, gateway: Running, workers: list[FakeWorker]) -> None:
        """Workers leave the list, come back, and are killed."""
        while True:
            await asyncio.sleep(0.1 * self.draw.random())
            gateway.discovery.say([worker.record for worker in workers if self.draw.random() < 0.7])
            victim = self.draw.choice(workers)
            await victim.stop()
            await victim.start()


def expected_load(router: Router) -> list[float]:
    return [number for worker in router._workers.values() for number in (worker.load.in_flight, worker.load.kv_tokens)]


@pytest.mark.parametrize("roles", ["wwww", "ppdd"], ids=["whole", "apart"])
def test_whatever_fails_nothing_stays_behind(roles: str) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201
    named = {"w": Role.WORKER, "p": Role.PREFILL, "d": Role.DECODE}

    async def test() -> None:
        chance, seen = Chance(seed), Counter[str]()
        workers = [FakeWorker([chance.behave], id=f"{role}{n}", role=named[role]) for n, role in enumerate(roles)]
        async with running(
            *workers, policy="kv", hold_timeout_s=3, upstream=UpstreamLimits(idle_timeout_s=0)
        ) as gateway:
            front, until_s = gateway.gateway.front, asyncio.get_running_loop().time() + SECONDS

            async def client() -> None:
                while asyncio.get_running_loop().time() < until_s:
                    await chance.ask(gateway, seen)

            shaking = asyncio.ensure_future(chance.shake(gateway, workers))
            await asyncio.gather(*(client() for _ in range(CLIENTS)))
            shaking.cancel()
            await until(lambda: not front._exchanges and not front.connections)
            assert front.metrics.internal_errors._value.get() == 0
            assert await gateway.metric("requests_in_flight") == 0
            assert not any(expected_load(front.routing.router))
            front.pool.sweep(front.clock() + 1)
            await until(lambda: not front.pool._all and not front.pool._idle)
            assert seen["200"] > 50, seen

    run(test())
