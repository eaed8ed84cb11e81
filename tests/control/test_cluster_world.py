"""What the world of a cluster makes of its gateways: several count as one, and one that is silent is not idle."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from penstock.control import pod_metrics
from penstock.control.cluster_world import ClusterWorld
from penstock.control.keda_counts import KedaCounts
from penstock.control.pod_metrics import PodMetrics
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import Observation, Signal
from penstock.messages.parse_spec import parse_spec

SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: d}
spec:
  model: {name: penstock/tiny}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05}
  components:
    - {name: frontend, role: frontend}
    - {name: worker, role: worker, autoscaling: {by: planner, min: 0, max: 4}}
"""
GATEWAYS = ("10.0.0.2", "10.0.0.3")


class HandClock:
    at_s = 0.0

    def now_s(self) -> float:
        return self.at_s

    async def sleep_until(self, at_s: float) -> None:
        raise NotImplementedError


def gateway_pod(address: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("PodScheduled", "Ready")]
    meta = {"name": address, "uid": address, "creationTimestamp": now}
    labels = {"penstock.dev/deployment": "d", "penstock.dev/component": "frontend"}
    status = {"phase": "Running", "podIP": address, "conditions": conditions}
    return {"metadata": meta | {"labels": labels}, "status": status}


def looks(monkeypatch: pytest.MonkeyPatch, seconds: int, silent_from: dict[str, int]) -> list[Observation]:
    """Each gateway receives two requests a second and holds one; from some second on, one does not answer."""
    clock = HandClock()

    async def scrape(_: object, url: str) -> str | None:
        address = url.removeprefix("http://").partition(":")[0]
        if clock.at_s >= silent_from.get(address, seconds):
            return None
        return f"penstock_gateway_requests_received_total {2 * clock.at_s}\npenstock_gateway_held_requests 1\n"

    monkeypatch.setattr(pod_metrics, "scrape", scrape)
    component = {"name": "worker", "autoscaling": {"by": "planner"}}
    pool = {"metadata": {"name": "d-worker"}, "spec": {"replicas": 0, "component": component}}
    nothing: Any = None  # neither session nor client is used
    spec = parse_spec(SPEC, source="test").spec
    world = ClusterWorld(
        spec,
        PodMetrics(spec.slo, clock, nothing),
        nothing,
        pods=lambda: map(gateway_pod, GATEWAYS),
        pools=lambda: [pool],
    )

    async def all_of_them() -> list[Observation]:
        seen = []
        for second in range(seconds):
            clock.at_s = float(second)
            seen.append(await world.observe(clock.at_s))
        return seen

    return asyncio.run(all_of_them())


def test_gateways_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = looks(monkeypatch, 10, {})[-1].pools[0].signals
    assert (signals[Signal.DEMAND].value, signals[Signal.HELD].value) == (4.0, 2.0)
    assert signals[Signal.DEMAND].age_s == 0.0


@pytest.mark.parametrize("silent", [GATEWAYS[:1], GATEWAYS])
def test_a_gateway_that_does_not_answer_makes_the_demand_old_and_not_smaller(
    monkeypatch: pytest.MonkeyPatch, silent: tuple[str, ...]
) -> None:
    seen = [look.pools[0].signals for look in looks(monkeypatch, 60, dict.fromkeys(silent, 30))]
    assert [signals[Signal.HELD].age_s for signals in seen[29:33]] == [0.0, 1.0, 2.0, 3.0]
    assert {signals[Signal.DEMAND].value for signals in seen[5:] if Signal.DEMAND in signals} == {4.0}
    assert Signal.DEMAND not in seen[-1]


class Events:
    """An API server that takes Events and nothing else."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    async def create(self, event: Any) -> None:
        self.messages.append(event["message"])


def test_under_keda_the_count_is_left_for_it_and_stands_until_it_is_so() -> None:
    """KEDA acts seconds later. Meanwhile the pool is not taken for one that somebody scaled back."""
    spec = parse_spec(SPEC.replace("by: planner, min: 0, max: 4", "by: keda, min: 0, max: 4, planner: {}"), source="t")
    component = {"name": "worker", "autoscaling": {"by": "keda", "planner": {}}}
    pool: dict[str, Any] = {"metadata": {"name": "d-worker", "namespace": "ns"}, "spec": {"component": component}}
    events, counts = Events(), KedaCounts(lambda: 0.0)
    no_session: Any = None  # no pod is asked
    world = ClusterWorld(
        spec.spec,
        PodMetrics(spec.spec.slo, HandClock(), no_session),
        events,  # type: ignore[arg-type]
        pods=list,
        pools=lambda: [pool],
        for_keda=counts,
    )

    async def decided(desired: int) -> int:
        current = (await world.observe(0.0)).pools[0].desired
        decision = Decision(
            time_s=0.0,
            component="worker",
            policy="planner",
            current=current,
            desired=desired,
            limited_by=LimitedBy.NONE,
            reason="so",
            seen={},
            figures={},
        )
        await world.act([decision])
        return current

    async def all_of_it() -> list[int]:
        pool["spec"]["replicas"] = 1
        seen = [await decided(1), await decided(3), await decided(3)]
        pool["spec"]["replicas"] = 3
        return [*seen, await decided(2), await decided(2)]

    assert asyncio.run(all_of_it()) == [1, 1, 3, 3, 2]
    assert counts.answer(("ns", "d-worker")) == (2, 3)
    assert events.messages == ["asked KEDA to scale from 1 to 3: so", "asked KEDA to scale from 3 to 2: so"]
