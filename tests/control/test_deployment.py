"""A whole deployment in this process, with real gateway and workers: what only the inside can be asked."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from penstock.control import lifecycle
from penstock.control.deployment import Deployment, Places
from penstock.control.launch import WorkerKind
from penstock.control.lifecycle import Phase
from penstock.control.watched import Watched
from penstock.errors import GiveUp
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import Observation, Signal
from penstock.messages.parse_spec import parse_spec
from penstock.telemetry.journal import read_history

SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: inside}
spec:
  model: {name: penstock/tiny}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05}
  components:
    - name: worker
      role: worker
      replicas: 2
      engine: {startup: {coldSeconds: 0.1, warmSeconds: 0.1}, drainTimeoutSeconds: 20}
      autoscaling: {by: external}
"""


def decision(desired: int) -> Decision:
    return Decision(
        time_s=0, component="worker", policy="test", current=2, desired=desired, limited_by=LimitedBy.NONE, reason="."
    )


async def until(holds: Callable[[], object], within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


def still_there(pids: Iterable[int]) -> list[int]:
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def deployed(test: Callable[[Deployment], Awaitable[None]], out: Path | None = None) -> Deployment:
    async def main() -> Deployment:
        deployment = Deployment(parse_spec(SPEC, source="test"), Places(port=0, web_port=0, out=out))
        async with deployment:
            assert await deployment.begun()
            shells = (deployment.machine.gateway, *deployment.machine.pools.values())
            pids = [r.child.pid for shell in shells for r in shell.running.values() if r.child]
            await test(deployment)
        assert not still_there(pids)
        return deployment

    return asyncio.run(main())


def test_kill_9_of_a_draining_worker_during_scale_down_is_the_end_of_it() -> None:
    async def test(deployment: Deployment) -> None:
        shell = deployment.machine.pools["worker"]
        pids = {worker: running.child.pid for worker, running in shell.running.items() if running.child}
        for pid in pids.values():
            os.kill(pid, signal.SIGSTOP)  # so that the drain cannot end by itself
        await deployment.machine.act([decision(1)])
        (draining,) = [worker.id for worker in shell.life.workers if worker.phase is Phase.DRAINING]
        assert shell.life.ready == set(pids) - {draining}
        os.kill(pids[draining], signal.SIGKILL)
        for pid in set(pids.values()) - {pids[draining]}:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: draining not in shell.running)
        assert shell.life.deaths == 0
        assert [worker.phase for worker in shell.life.workers] == [Phase.READY]

    deployed(test)


def test_what_is_seen_of_a_quiet_deployment(tmp_path: Path) -> None:
    async def test(deployment: Deployment) -> None:
        after_s = deployment.clock.now_s() + 2  # it may have begun late
        await until(lambda: deployment.latest.observation and deployment.latest.observation.time_s > after_s)

    deployment = deployed(test, tmp_path)
    last = list(read_history(tmp_path / "history.jsonl"))[-1]
    (pool,) = last.pools
    assert (pool.desired, pool.ready, pool.starting, pool.draining) == (2, 2, 0, 0)
    assert pool.signals[Signal.DEMAND].value == 0
    assert pool.signals[Signal.QUEUE].value == 0
    assert pool.signals[Signal.KV_USAGE].value == 0
    assert pool.signals[Signal.HELD].value == 0
    assert pool.signals[Signal.LEAD_TIME].value > 0.1
    assert not {Signal.TTFT, Signal.ITL, Signal.ISL, Signal.OSL} & set(pool.signals), "no data is not zero"
    assert {worker.state for worker in pool.workers} == {"ready"}
    assert deployment.faults.counts == {}


def test_a_pool_that_cannot_start_ends_the_deployment_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "FIRST_BACK_OFF_S", 0.01)
    command = (sys.executable, "-c", "import sys; sys.exit('no such GPU')")
    monkeypatch.setattr(WorkerKind, "arguments", lambda *_, **__: command)

    async def main() -> None:
        async with Deployment(parse_spec(SPEC, source="test"), Places(port=0, web_port=0)) as deployment:
            assert not await deployment.begun()
            await deployment.wait()

    with pytest.raises(GiveUp, match=r"worker: 5 starts in a row failed.*no such GPU"):
        asyncio.run(main())


def test_somebody_elses_processes_are_watched_and_left_alone() -> None:
    async def test(deployment: Deployment) -> None:
        urls = [running.url for running in deployment.machine.pools["worker"].running.values()]
        world = Watched(
            deployment.spec,
            deployment.clock,
            deployment.machine._session,
            gateway=deployment.gateway_url,
            workers={"worker": [*urls, "http://127.0.0.1:9"]},
        )
        seen: list[Observation] = []
        for _ in range(3):
            seen.append(await world.observe(deployment.clock.now_s()))
            await asyncio.sleep(0.3)
        (pool,) = seen[-1].pools
        assert (pool.ready, pool.desired) == (2, 2), "the third does not answer"
        assert pool.signals[Signal.DEMAND].value == 0
        await world.act([decision(0)])
        assert len(deployment.machine.pools["worker"].life.ready) == 2

    deployed(test)
