"""Processes that say nothing: a worker that never answers its health checks, and metrics that are not there."""

import asyncio
import math
import sys

import aiohttp
import pytest
from clients import Clients
from inside import asking_meanwhile, until

from penstock.control import lifecycle, machine
from penstock.control.deployment import Deployment, Places
from penstock.control.health import scrape
from penstock.control.launch import WorkerKind
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import Observation
from penstock.messages.parse_spec import parse_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {{name: silence}}
spec:
  model: {{name: penstock/tiny}}
  slo: {{ttftSeconds: 0.5, itlSeconds: 0.05}}
  components:
    - name: worker
      role: worker
      replicas: {replicas}
      engine: {{startup: {{coldSeconds: 0.1, warmSeconds: 0.1}}}}
      autoscaling: {scaling}
"""
FIXED = "{by: none}"
EAGER = "{by: planner, min: 1, max: 4, intervalSeconds: 1, coolInSeconds: 3, staleAfterSeconds: 2}"


class Heard:
    """What the loop decided."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def observed(self, observation: Observation) -> None:
        pass

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)


def test_a_worker_that_never_answers_is_replaced_while_the_other_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "START_TIMEOUT_S", 6.0)
    real = WorkerKind.arguments

    def arguments(kind: WorkerKind, worker: str, port: int, delay_s: float) -> tuple[str, ...]:
        if worker == "worker-2":
            return (sys.executable, "-c", "import time; time.sleep(300)")
        return real(kind, worker, port, delay_s)

    monkeypatch.setattr(WorkerKind, "arguments", arguments)

    async def main() -> None:
        spec = parse_spec(SPEC.format(replicas=2, scaling=FIXED), source="test")
        async with Deployment(spec, Places(port=0, web_port=0)) as deployment:
            shell = deployment.machine.pools["worker"]
            await until(lambda: shell.life.ready and deployment.machine.gateway.life.ready)
            async with asking_meanwhile(Clients(deployment.gateway_url, whole=1, streams=1)) as clients:
                await until(lambda: deployment.machine.has_begun)
                assert "worker-2" not in shell.running
                assert shell.life.deaths == 1
                assert clients.served > 5
            assert clients.lost == {}

    asyncio.run(main())


def nan(text: str) -> str:
    """Every value is NaN."""
    lines = (line if line.startswith("#") else f"{line.rpartition(' ')[0]} {math.nan}" for line in text.splitlines())
    return "\n".join(lines)


def test_metrics_that_are_nan_or_stale_take_no_worker_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its metrics this deployment goes from four workers to one in seconds; without, it stays as it is."""
    fault = "nan"

    async def faulty(session: aiohttp.ClientSession, url: str) -> str | None:
        text = await scrape(session, url)
        if fault == "silence" or text is None:
            return None
        return nan(text) if fault == "nan" else text

    monkeypatch.setattr(machine, "scrape", faulty)

    async def main() -> None:
        nonlocal fault
        heard = Heard()
        spec = parse_spec(SPEC.format(replicas=4, scaling=EAGER), source="test")
        async with Deployment(spec, Places(port=0, web_port=0), (heard,)) as deployment:
            assert await deployment.begun()
            async with asking_meanwhile(Clients(deployment.gateway_url, whole=1, streams=1)) as clients:
                await asyncio.sleep(5)
                assert {(d.desired, d.limited_by) for d in heard.decisions} == {(4, LimitedBy.MISSING_DATA)}
                fault = "none"
                await asyncio.sleep(2)
                fault = "silence"
                await asyncio.sleep(2.5)  # from now on the last that was heard is too old
                heard.decisions.clear()
                await asyncio.sleep(5)
                assert len({d.desired for d in heard.decisions}) == 1, heard.decisions
                assert {d.limited_by for d in heard.decisions} <= {LimitedBy.STALE_DATA, LimitedBy.MISSING_DATA}
                assert heard.decisions[-1].desired > 1, "nothing was left to take away"
                fault = "none"
                await until(lambda: heard.decisions[-1].desired == 1)
            assert clients.lost == {}

    asyncio.run(main())
