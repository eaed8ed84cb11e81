"""The virtual cluster: a `World` for the control loop, like the processes of one machine or a real Kubernetes.

Joins the parts: `serving` (requests, router, engines), `replicas` and `machines` (pods on nodes, as Kubernetes has
them), and the way of the metrics to whoever decides (`metric_path`). It is looked at and acted on; what happens in
between is decided by its parts.
"""

import random
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from penstock.autoscale.policies import policy_for
from penstock.control.gateway_view import GatewayView
from penstock.errors import InputError
from penstock.hardware.steptime import TICKS_PER_S
from penstock.hardware.vm_sizes import vm_size
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation, PoolSeen
from penstock.messages.spec import ComponentSpec, DeploymentBody
from penstock.simulator.calendar import Calendar
from penstock.simulator.component_pool import ComponentPool
from penstock.simulator.delays import Delays
from penstock.simulator.failures import Failures
from penstock.simulator.machines import Machines
from penstock.simulator.metric_path import MetricPath
from penstock.simulator.nodes import NodePool
from penstock.simulator.pods import PodState
from penstock.simulator.records import Records
from penstock.simulator.replicas import Replicas
from penstock.simulator.seen import pool_seen
from penstock.simulator.serving import Serving
from penstock.simulator.world_spec import FailuresSpec, NodePoolSpec, WorldSpec
from penstock.workload.arrival import Arrival


class Cluster:
    """All of a deployment in virtual time.

    Args:
        world: what surrounds it.
        arrivals: the workload, in order of time.
        records: is told what becomes of each request.
        seed: of everything that is drawn.
    Raises: InputError, for a VM size that is not known, a failure of what is not there, or warm capacity by itself.
    """

    def __init__(
        self, spec: DeploymentBody, world: WorldSpec, arrivals: Iterator[Arrival], records: Records, *, seed: int
    ) -> None:
        sizes = world.sizes
        found = [(vm_size(pool.vm_size, sizes=sizes), pool) for pool in world.node_pools]

        def size_of(component: ComponentSpec) -> str:
            return vm_size(component.gpu.vm_size, sizes=sizes).name if component.gpu is not None else ""

        runs_on = {size_of(component) for component in spec.pools}
        self._nodes = {
            size.name: NodePool(_kept_warm(pool, spec) if size.name in runs_on else pool, size.gpus)
            for size, pool in found
        }
        self.pools = {
            component.name: ComponentPool(component, size_of(component), self._nodes, world.pod_start)
            for component in spec.pools
        }
        own = [(pool.vm_size, pool.nodes) for pool in self.pools.values() if pool.own_nodes]
        failing = _checked(world.failures, list(self.pools), sorted({*self._nodes, *(size for size, _ in own)} - {""}))

        exports = world.metrics.queried
        self.serving = Serving(spec, arrivals, records, workers_export=exports, drained=self._drained)
        calendar, delays = Calendar(self.serving), Delays(random.Random(seed))
        failures = Failures(failing, seed=seed)
        self._path = MetricPath(spec, world.metrics, self.serving, records, calendar, seed=seed)
        machines = Machines(self._nodes, own, world.pod_start, calendar, delays, failures)
        self._replicas = machines.replicas = Replicas(
            self.pools,
            self.serving,
            self._path,
            calendar,
            delays,
            failures,
            changed=machines.changed,
            running=world.running,
        )
        self._interval_s = {component.name: policy_for(spec, component).interval_s for component in spec.pools}
        if world.running:
            for nodes in [*self._nodes.values(), *(nodes for _, nodes in own)]:
                on_it = [pool for pool in self.pools.values() if pool.nodes is nodes]
                pods = [pool.pods.gpus for pool in on_it for _ in range(pool.component.initial_replicas)]
                nodes.stand([*pods, *nodes.placeholders])
        for pool in self.pools.values():
            self._replicas.want(pool, pool.component.initial_replicas)
        machines.begin()

    @property
    def gateway_view(self) -> GatewayView:
        """The gateway as its scrapes show it."""
        return self._path.gateway_view

    # --- the World of the control loop

    async def observe(self, now_s: float) -> Observation:
        """Let everything happen until now, and say what is seen."""
        self.serving.run_to(round(now_s * TICKS_PER_S))
        self._path.look()
        return Observation(
            time_s=now_s,
            pools=tuple(self._seen(pool, now_s) for pool in self.pools.values()),
            totals=self.gateway_view.totals(),
            nodes=tuple(nodes.seen(name) for name, nodes in self._nodes.items()),
        )

    async def act(self, decisions: Sequence[Decision]) -> None:
        """Set each pool's scale."""
        for decision in decisions:
            pool = self.pools[decision.component]
            if decision.desired != pool.pods.desired:
                self._replicas.want(pool, decision.desired)

    def _seen(self, pool: ComponentPool, now_s: float) -> PoolSeen:
        name = pool.component.name
        signals = self._path.signals(
            name,
            [pod.id for pod in pool.pods.in_state(PodState.READY)],
            interval_s=self._interval_s[name],
            lead_time_s=pool.lead_times.next_s(room=pool.has_room),
        )
        return pool_seen(pool.pods, self._path.views, signals, now_s=now_s)

    def _drained(self, pod_id: str) -> None:
        self._replicas.drained(pod_id)


def _kept_warm(nodes: NodePoolSpec, spec: DeploymentBody) -> NodePoolSpec:
    """A node pool with the placeholders that the deployment asks for, if it does. Raises: InputError."""
    if spec.warm_capacity is None:
        return nodes
    if spec.warm_capacity.nodes == "auto":
        raise InputError(
            "spec.warmCapacity.nodes", "auto is not sized in a virtual cluster yet", "state how many nodes to keep"
        )
    kept = nodes.placeholders.model_copy(update={"count": spec.warm_capacity.nodes, "gpus": None})
    return nodes.model_copy(update={"placeholders": kept})


def _checked(failures: FailuresSpec, components: Sequence[str], sizes: Sequence[str]) -> FailuresSpec:
    """The failures, each of something that is there. Raises: InputError."""
    at = []
    for number, failure in enumerate(failures.at):
        where = f"spec.failures.at[{number}]"
        if failure.worker is not None:
            at.append(failure.model_copy(update={"worker": _one_of(failure.worker, components, f"{where}.worker")}))
        elif failure.node is not None:
            at.append(failure.model_copy(update={"node": _one_of(failure.node, sizes, f"{where}.node")}))
    return failures.model_copy(update={"at": tuple(at)})


def _one_of(name: str, known: Sequence[str], where: str) -> str:
    by_lower = {each.lower(): each for each in known}
    found = by_lower.get(name.lower())
    if found is None:
        nearest = get_close_matches(name.lower(), by_lower, n=1)
        there = ", ".join(known) or "none"
        fix = f"did you mean {by_lower[nearest[0]]}?" if nearest else f"this deployment has {there}"
        raise InputError(where, f"no {name!r} there", fix)
    return found
