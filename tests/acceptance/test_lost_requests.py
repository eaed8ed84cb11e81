"""No request is lost: scale-downs and kill -9 of real workers under users who count every answer.

A worker that is killed before the first byte of an answer loses nothing, since another takes the request. So that a
kill always finds requests there that wait, engines are slow here at prompts, and a stream has one token: before it
there is nothing, with it all.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from clients import Clients
from inside import asking_meanwhile, until

from penstock.control import lifecycle
from penstock.control.deployment import Deployment, Places
from penstock.control.lifecycle import Phase
from penstock.control.pool_shell import PoolShell
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.parse_spec import parse_spec
from running_up import read_metrics

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

REPLICAS = 3
SCALE_DOWNS = KILLS = 20
KILLS_AT_ONCE = 2  # a third in a row ends a request: it may be what kills workers
KILLS_WHILE_DRAINING = 5
GONE = ("closed", "reset")  # reasons of a retry: the worker had the request, and then was gone
SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {{name: no-loss}}
spec:
  model: {{name: penstock/tiny}}
  slo: {{ttftSeconds: 2, itlSeconds: 0.1}}
  components:
    - name: worker
      role: worker
      replicas: {replicas}
      engine:
        stepTime: {{baseSeconds: 0.02, prefillTokenSeconds: {prefill_token_s}, sequenceSeconds: 0.001}}
        startup: {{coldSeconds: 0.1, warmSeconds: 0.1}}
        drainTimeoutSeconds: 30
      autoscaling: {{by: external}}
"""
SLOW_AT_PROMPTS = {"max_tokens": 8, "stream_tokens": 1}


def spec(*, prefill_token_s: float) -> str:
    return SPEC.format(replicas=REPLICAS, prefill_token_s=prefill_token_s)


class Scaled:
    """A deployment in this process, its gateway and workers in theirs, whose scale the test sets."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.shell: PoolShell = deployment.machine.pools["worker"]

    async def to(self, replicas: int) -> list[str]:
        """Set the scale, as a decision does. Returns: who drains for it."""
        before = self.of(Phase.READY)
        decision = Decision(
            time_s=self.deployment.clock.now_s(),
            component="worker",
            policy="test",
            current=self.shell.life.desired,
            desired=replicas,
            limited_by=LimitedBy.NONE,
            reason=".",
        )
        await self.deployment.machine.act([decision])
        return sorted(before & self.of(Phase.DRAINING))

    def of(self, phase: Phase) -> set[str]:
        return {worker.id for worker in self.shell.life.workers if worker.phase is phase}

    def pid(self, worker: str) -> int:
        child = self.shell.running[worker].child
        assert child is not None
        return child.pid

    async def requests_on(self, worker: str) -> int:
        """How many requests keep a draining worker, as it says itself; 0 if it is gone."""
        running = self.shell.running.get(worker)
        if running is None:
            return 0
        try:
            async with aiohttp.ClientSession() as session, session.get(running.url + "/drain") as response:
                return int((await response.json())["left"])
        except aiohttp.ClientError:
            return 0

    async def metrics(self) -> dict[str, float]:
        return await asyncio.to_thread(read_metrics, self.deployment.gateway_url)

    async def sent_again(self, *reasons: str) -> int:
        """How often the gateway gave a request to another worker, for one of these reasons."""
        found = await self.metrics()
        return int(sum(found.get(f'penstock_gateway_retries_total{{reason="{reason}"}}', 0) for reason in reasons))

    async def back_up(self) -> None:
        """All replicas again, each with a request on it at least."""
        await self.to(REPLICAS)
        await until(lambda: len(self.of(Phase.READY)) == REPLICAS)
        for worker in self.of(Phase.READY):
            while not await self.requests_on(worker):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@asynccontextmanager
async def under_load(text: str, **tokens: int) -> AsyncIterator[tuple[Scaled, Clients]]:
    """A deployment with eight users who never stop."""
    async with Deployment(parse_spec(text, source="test"), Places(port=0, web_port=0)) as deployment:
        assert await deployment.begun()
        async with asking_meanwhile(Clients(deployment.gateway_url, **tokens)) as clients:
            scaled = Scaled(deployment)
            await scaled.back_up()
            yield scaled, clients


def test_20_scale_downs_lose_no_request(record_property: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    """Each worker that goes finishes what it has; by turns one goes, or two at once."""
    caplog.set_level(logging.WARNING, "penstock.control")

    async def main() -> None:
        drained = busy = 0
        began_s = time.monotonic()
        async with under_load(spec(prefill_token_s=0.001)) as (scaled, clients):
            for number in range(SCALE_DOWNS):
                going = await scaled.to(REPLICAS - 1 - number % 2)
                assert len(going) == 1 + number % 2
                drained += len(going)
                busy += sum([await scaled.requests_on(worker) > 0 for worker in going])
                await scaled.back_up()
            await until(lambda: len(scaled.shell.running) == REPLICAS)
            assert scaled.shell.life.deaths == 0
            again = await scaled.sent_again("draining", "connect", "stale_connection")
        record_property(
            "figures",
            f"{SCALE_DOWNS} scale-downs, {drained} workers drained ({busy} with requests on them), "
            f"{clients.served} requests served, {len(clients.lost)} lost, {again} sent again; "
            f"{time.monotonic() - began_s:.0f} s",
        )
        assert clients.lost == {}
        assert busy > drained / 2, "scale-downs of idle workers prove nothing"

    asyncio.run(main())
    assert not [record for record in caplog.records if "killed" in record.message], "a drain had to be cut"


def test_kill_9_of_draining_workers_loses_no_request(record_property: Callable[..., None]) -> None:
    """A kill counts if a request was there and another worker took it: it may end just before the signal."""

    async def main() -> None:
        kills = counted = 0
        async with under_load(spec(prefill_token_s=0.05), **SLOW_AT_PROMPTS) as (scaled, clients):
            while counted < KILLS_WHILE_DRAINING:
                assert kills <= 4 * KILLS_WHILE_DRAINING, f"{counted} of {kills} kills found a request"
                (going,) = await scaled.to(REPLICAS - 1)
                before, pending = await scaled.sent_again(*GONE), clients.pending
                if await scaled.requests_on(going):
                    os.kill(scaled.pid(going), signal.SIGKILL)
                    kills += 1
                await scaled.back_up()
                await until(lambda pending=pending: not pending & clients.pending)
                counted += min(1, await scaled.sent_again(*GONE) - before)
            assert scaled.shell.life.deaths == 0, "a worker that was to go is not missed"
            again = await scaled.sent_again(*GONE)
        record_property(
            "figures",
            f"{counted} draining workers killed with requests on them (of {kills}), {clients.served} requests served, "
            f"{len(clients.lost)} lost, {again} of killed workers sent again",
        )
        assert clients.lost == {}

    asyncio.run(main())


def test_20_kill_9_before_the_first_byte_lose_no_request(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[..., None]
) -> None:
    """Two of three workers at once, again and again. A kill counts if a request was there and another took it."""
    monkeypatch.setattr(lifecycle, "LONGEST_BACK_OFF_S", 0.0)  # else it is what this test would wait for

    async def main() -> None:
        kills = counted = 0
        began_s = time.monotonic()
        async with under_load(spec(prefill_token_s=0.05), **SLOW_AT_PROMPTS) as (scaled, clients):
            while counted < KILLS:
                kills += KILLS_AT_ONCE
                assert kills <= 2 * KILLS, f"{counted} of {kills} kills found a request"
                killed = {worker: scaled.pid(worker) for worker in sorted(scaled.of(Phase.READY))[:KILLS_AT_ONCE]}
                before, pending = await scaled.sent_again(*GONE), clients.pending
                for pid in killed.values():
                    os.kill(pid, signal.SIGKILL)
                await until(lambda killed=killed: not killed.keys() & scaled.shell.running.keys())
                await until(lambda pending=pending: not pending & clients.pending)
                counted += min(KILLS_AT_ONCE, await scaled.sent_again(*GONE) - before)
                await scaled.back_up()
            assert scaled.shell.life.deaths == kills
            again = await scaled.sent_again(*GONE)
            broken = (await scaled.metrics())["penstock_gateway_streams_broken_total"]
        record_property(
            "figures",
            f"{counted} kills of workers with requests before their first byte (of {kills}), "
            f"{clients.served} requests served, {len(clients.lost)} lost, {again} of killed workers sent again; "
            f"{time.monotonic() - began_s:.0f} s",
        )
        assert clients.lost == {}
        assert broken == 0

    asyncio.run(main())
