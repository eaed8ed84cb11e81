"""Nodes that are kept for later: placeholders, prefetching, what both save and what they cost."""

from typing import Any

import pytest
from virtual_runs import Run, deployment, workload
from world_checks import look, want

from penstock.errors import InputError
from penstock.messages.observation import Observation, Signal
from penstock.simulator.run import simulate
from penstock.simulator.world_spec import WorldSpec

SIZE = "Standard_NC80adis_H100_v5"
POOL = {
    "vm_size": SIZE,
    "vm": {"mean_s": 70},
    "driver": {"mean_s": 30},
    "scan_s": 5,
    "unneeded_s": 30,
    "delay_after_add_s": 30,
}
START = {"image": {"mean_s": 40}, "weights": {"mean_s": 20}, "engine": {"mean_s": 10}}


def world(**pool: Any) -> WorldSpec:
    return WorldSpec.model_validate({"node_pools": [{**POOL, **pool}], "pod_start": START})


def worker(replicas: int = 0, gpus: int = 2) -> dict[str, Any]:
    scaling = {"by": "planner", "min": 0, "max": 8}
    gpu = {"vm_size": SIZE, "count": gpus}
    return {"name": "worker", "role": "worker", "replicas": replicas, "gpu": gpu, "autoscaling": scaling}


@pytest.mark.parametrize(
    ("pool", "takes_s"),
    [
        ({}, 175),  # 5 s to the next scan, 100 s for the node, 70 s of a cold start
        ({"placeholders": {"count": 1, "leave_s": 2}}, 72),
        ({"placeholders": {"count": 1, "leave_s": 2}, "prefetch": "image"}, 32),
        ({"placeholders": {"count": 1, "leave_s": 2}, "prefetch": "weights"}, 12),
        ({"min_nodes": 1}, 10),
    ],
)
def test_what_stands_ready_is_not_waited_for(pool: dict[str, Any], takes_s: float) -> None:
    """A placeholder's node need not be bought, and what was fetched to its disk need not be fetched."""
    run = Run(deployment(worker()), [], world=world(**pool))
    look(run, 400.0)
    want(run, "worker", 1)
    assert look(run, 400.0 + takes_s - 0.1).pools[0].ready == 0
    assert look(run, 400.0 + takes_s + 0.1).pools[0].ready == 1


def test_a_placeholder_that_had_to_leave_is_refilled() -> None:
    """Pending again, it has the next node bought; once the pod is gone, only the one that it holds is needed."""
    run = Run(deployment(worker()), [], world=world(placeholders={"count": 1}))
    nodes = look(run, 400.0).nodes[0]
    assert (nodes.cold, nodes.held, nodes.in_use) == (1, 2, 0)
    want(run, "worker", 1)
    nodes = look(run, 410.0).nodes[0]
    assert (nodes.cold, nodes.provisioning, nodes.held, nodes.in_use) == (1, 1, 0, 2)
    nodes = look(run, 600.0).nodes[0]
    assert (nodes.cold, nodes.warm, nodes.held, nodes.in_use) == (1, 1, 2, 2)
    want(run, "worker", 0)
    nodes = look(run, 700.0).nodes[0]
    assert (nodes.cold + nodes.warm, nodes.held, nodes.in_use) == (1, 2, 0)


@pytest.mark.parametrize("placeholders", [0, 3])
def test_the_deployment_says_how_many_nodes_are_kept_and_pays_for_them(placeholders: int) -> None:
    """What it says counts, whatever the world has."""
    spec = deployment(worker(), warm_capacity={"nodes": 1})
    run = Run(spec, [], world=world(placeholders={"count": placeholders}))
    nodes = look(run, 400.0).nodes[0]
    assert (nodes.cold, nodes.held, nodes.paid_gpus) == (1, 2, 2)
    want(run, "worker", 1)
    assert look(run, 400.0 + 72.1).pools[0].ready == 1  # a cold start on a node that is there


def test_nodes_that_the_deployment_does_not_run_on_are_not_kept() -> None:
    spec = deployment({**worker(), "gpu": None}, warm_capacity={"nodes": 1})
    assert look(Run(spec, [], world=world()), 400.0).nodes[0].held == 0


def test_warm_capacity_by_itself_is_refused_rather_than_ignored() -> None:
    with pytest.raises(InputError, match="warmCapacity"):
        Run(deployment(worker(), warm_capacity={"nodes": "auto"}), [], world=world())


def test_the_lead_time_of_a_held_node_is_that_of_a_warm_start() -> None:
    """The planner is told what it would take now."""
    run = Run(deployment(worker()), [], world=world(placeholders={"count": 1}))
    startup = run.cluster.pools["worker"].component.engine.startup
    assert look(run, 50.0).pools[0].signals[Signal.LEAD_TIME].value == startup.cold_s
    assert look(run, 400.0).pools[0].signals[Signal.LEAD_TIME].value == startup.warm_s


class Paid:
    """A listener that adds up, by itself, what nodes cost."""

    def __init__(self) -> None:
        self.gpu_s = 0.0
        self.latest: Observation | None = None

    def observed(self, observation: Observation) -> None:
        if self.latest is not None:
            self.gpu_s += self.latest.nodes[0].paid_gpus * (observation.time_s - self.latest.time_s)
        self.latest = observation

    def decided(self, decision: object) -> None:
        pass


@pytest.mark.parametrize("gpus", [1, 2])
def test_the_states_add_up_to_what_all_nodes_cost(gpus: int) -> None:
    """Half of a node that a pod of one GPU has is idle; a node on its way starts; what placeholders hold is warm."""
    paid = Paid()
    surroundings = world(placeholders={"count": 1}, maintenance_s=[120])
    spec = deployment({**worker(1, gpus), "autoscaling": {"by": "external"}})
    priced = surroundings.model_copy(
        update={"prices": WorldSpec.model_validate({"prices": [{"vm_size": SIZE, "usd_per_hour": 10.0}]}).prices}
    )
    result = simulate(spec, iter(workload(1, 300, rate=1.0)), world=priced, listeners=[paid]).result
    hours = result.gpu_hours
    assert hours is not None
    assert hours.total == pytest.approx(paid.gpu_s / 3600)
    assert hours.total == pytest.approx(hours.serving + hours.starting + hours.warm + hours.draining + hours.idle)
    assert result.cost_usd == pytest.approx(hours.total * 5.0)
    assert hours.warm > 0
    assert hours.serving > 0
    assert hours.starting > 0
    assert (hours.idle > hours.serving / 2) == (gpus == 1)


def test_where_no_nodes_are_shared_nothing_is_idle() -> None:
    """Replicas' own VMs come and go with them."""
    spec = deployment({**worker(1), "autoscaling": {"by": "external"}})
    hours = simulate(spec, iter(workload(1, 30))).result.gpu_hours
    assert hours is not None
    assert hours.idle == 0
    assert hours.total > 0
