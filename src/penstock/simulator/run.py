"""One deployment over one workload in virtual time: the live control loop, over a virtual cluster.

The loop, its policies and its listeners are those of `penstock up`. The same spec, workload, world and seed give the
same bytes. The run ends once the last request has ended, plus a while in which the pools may come down.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.autoscale.base import Policy
from penstock.autoscale.long_history import NOTHING_BEFORE, LongHistory
from penstock.autoscale.planner import PlannerPolicy
from penstock.autoscale.policies import policy_for
from penstock.control.faults import Faults
from penstock.control.loop import OBSERVE_EVERY_S, Decisions, Listener, run
from penstock.control.tally import Tally
from penstock.errors import GiveUp
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation
from penstock.messages.result import Result
from penstock.messages.spec import DeploymentBody
from penstock.simulator.clock import VirtualClock
from penstock.simulator.cluster import Cluster
from penstock.simulator.records import Records
from penstock.simulator.world_spec import WorldSpec
from penstock.telemetry.ledger import Ledger
from penstock.workload.arrival import Arrival

LEAST_OFTEN_S = 5.0
COLLECT_AFTER = 100_000  # objects made and kept; none of a run is in a cycle, and looking for one takes 5 % of it
MAX_BACKLOG = 200_000  # requests that wait: an hour's worth for most, and far beyond what any target allows


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What came of a run. `virtual_s`: how long it lasted in its own time."""

    result: Result
    virtual_s: float


def simulate(
    spec: DeploymentBody,
    arrivals: Iterator[Arrival],
    *,
    world: WorldSpec | None = None,
    seed: int = 0,
    policies: Mapping[str, Policy[Any]] | None = None,
    listeners: Sequence[Listener] = (),
    records: Records | None = None,
    before: LongHistory = NOTHING_BEFORE,
) -> Simulated:
    """Run to the end of the workload.

    Args:
        arrivals: in order of time, from 0 s on; read as they come.
        policies: by component, instead of those that the spec asks for.
        listeners: are told of everything seen and decided, beside those that make the result.
        records: who is told of each request; by default nobody else is.
        before: demand before the run, for planners.
    Raises: InputError, for a deployment or world that could not be, or at a bad row of the workload; GiveUp, if the
        backlog grows without bound; and whatever the world, a policy or a listener raises.
    """
    began_s = time.perf_counter()
    clock = VirtualClock()
    records = records or Records(spec.slo)
    world = world or WorldSpec()
    cluster = Cluster(spec, world, arrivals, records, seed=seed)
    tally, ledger = Tally(spec.slo), Ledger.of(spec, sizes=world.sizes)
    end = _End(cluster)
    owners = (
        dict(policies)
        if policies is not None
        else {pool.name: policy_for(spec, pool, before=before) for pool in spec.pools}
    )
    listeners = (tally, ledger, *listeners, end)
    looks = run(
        cluster, Decisions(owners), clock, listeners, observe_every_s=_look_every_s(owners), faults=_NoneForgiven()
    )
    with _seldom_collecting():
        clock.run(_until(end, looks))
    costs = ledger.costs()
    seen = tally.result(cluster.gateway_view, costs, wall_s=0.0)
    result = records.summary.result(
        gpu_hours=seen.gpu_hours,
        cost_usd=seen.cost_usd,
        replicas=seen.replicas,
        scale_events=seen.scale_events,
        wall_s=time.perf_counter() - began_s,
    )
    return Simulated(result=result, virtual_s=clock.now_s())


def _look_every_s(policies: Mapping[str, Policy[Any]]) -> float:
    """As often as the most eager policy decides, but between once a second and once in five.

    Less would be paid for wrongly: a replica's time is charged by what stood at the last look. A pool that sleeps is
    woken at a look, so where one may, there are as many as elsewhere.
    """
    if any(isinstance(policy, PlannerPolicy) and policy.limits.minimum == 0 for policy in policies.values()):
        return OBSERVE_EVERY_S
    eager_s = min(policy.interval_s for policy in policies.values())
    return min(max(OBSERVE_EVERY_S, eager_s), LEAST_OFTEN_S)


@contextlib.contextmanager
def _seldom_collecting() -> Iterator[None]:
    """Look for garbage in cycles less often."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], COLLECT_AFTER) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _until(end: "_End", loop: Coroutine[None, None, None]) -> None:
    running = asyncio.create_task(loop)
    end.task = running
    with contextlib.suppress(asyncio.CancelledError):
        await running


class _NoneForgiven(Faults):
    """Ends the run with the first fault: in virtual time the next second would be no better."""

    def caught(self, step: str, error: Exception) -> None:
        """Raises it anew."""
        raise error


class _End:
    """A listener that ends the run once the workload has."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.task: asyncio.Task[None] | None = None

    def observed(self, observation: Observation) -> None:
        """Look whether anything is left. Raises: GiveUp, if that grows without bound."""
        serving = self._cluster.serving
        if len(serving.flights) > MAX_BACKLOG:
            raise GiveUp(
                f"after {observation.time_s:.0f} s {len(serving.flights):,} requests are unanswered and more come than "
                "leave: raise max, or give the deployment faster engines"
            )
        if serving.exhausted and self.task is not None:
            self.task.cancel()

    def decided(self, decision: Decision) -> None:
        """Changes nothing."""
