"""The virtual cluster: a `World` for the control loop, like the processes of one machine or a real Kubernetes.

Joins the parts: `serving` (requests, router, engines), `pods` (a replica's life), `nodes` (where it runs) and the way
of the metrics to whoever decides (`control.gateway_view`, `worker_view` and `pool_signals`, the very code that reads
real scrapes). It carries decisions out and keeps the calendar; what happens is decided by its parts.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from penstock.autoscale.policies import policy_for
from penstock.control.gateway_view import GatewayView
from penstock.control.pool_signals import pool_signals
from penstock.control.worker_view import KV_USAGE as KV_USAGE_SERIES
from penstock.control.worker_view import RUNNING, WAITING, WorkerView
from penstock.hardware.steptime import TICKS_PER_S
from penstock.hardware.vm_sizes import vm_size
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation, PoolSeen, Sample, Signal, WorkerSeen
from penstock.messages.spec import ComponentSpec, DeploymentBody
from penstock.messages.worker import WorkerState
from penstock.simulator.delays import Delays
from penstock.simulator.lead_times import LeadTimes
from penstock.simulator.nodes import NodePool, NodeState
from penstock.simulator.pods import Pod, Pods, PodState
from penstock.simulator.prometheus import Prometheus
from penstock.simulator.records import Records
from penstock.simulator.serving import Serving
from penstock.simulator.worker_counters import WorkerCounters
from penstock.simulator.world_spec import DelaySpec, NodePoolSpec, PodStartSpec, WorldSpec
from penstock.workload.arrival import Arrival

_SEEN_AS = {
    PodState.PENDING: WorkerState.STARTING,
    PodState.STARTING: WorkerState.STARTING,
    PodState.READY: WorkerState.READY,
    PodState.DRAINING: WorkerState.DRAINING,
}

MAX_SCRAPED = 512  # of one pool: those that have gone leave Prometheus' window long before


class _Pool:
    """One component's pods, the nodes they may run on, and what is known of both."""

    def __init__(
        self, component: ComponentSpec, nodes: NodePool, start: PodStartSpec, interval_s: float, *, own_nodes: bool
    ) -> None:
        self.component = component
        self.nodes = nodes
        self.own_nodes = own_nodes  # they come and go with its pods, at once
        self.start = start
        self.interval_s = interval_s
        self.pods = Pods(component.name, component.gpu.count if component.gpu is not None else 1)
        self.lead_times = LeadTimes(component.engine.startup)
        self.views: dict[str, WorkerView] = {}
        self.scraped: deque[str] = deque(maxlen=MAX_SCRAPED)  # the workers that it had, those gone too


class Cluster:
    """All of a deployment in virtual time.

    Args:
        world: what surrounds it.
        arrivals: the workload, in order of time.
        records: is told what becomes of each request.
        seed: of every delay that is drawn.
    """

    def __init__(
        self, spec: DeploymentBody, world: WorldSpec, arrivals: Iterator[Arrival], records: Records, *, seed: int
    ) -> None:
        self.spec, self.world, self.records = spec, world, records
        exports = world.metrics.through == "prometheus"
        self.serving = Serving(spec, arrivals, records, workers_export=exports, drained=self._gone)
        self.gateway_view = GatewayView(spec.slo)
        self.gateway_view.born(0.0)
        self._delays = Delays(random.Random(seed))
        shared = {pool.vm_size: NodePool(pool, vm_size(pool.vm_size).gpus) for pool in world.node_pools}
        self.pools = {component.name: self._pool(component, shared) for component in spec.pools}
        self._pool_of: dict[str, _Pool] = {}
        self._pods: dict[str, Pod] = {}
        for nodes in shared.values():
            self._every(nodes.spec.scan_s, partial(self._scan, nodes))
        self._prometheus: Prometheus | None = None
        if world.metrics.through == "prometheus":
            self._prometheus = Prometheus(world.metrics, percentile=spec.slo.percentile)
        if world.metrics.every_s:
            self._every(world.metrics.every_s, self._scrape)
        for component in spec.pools:
            pool = self.pools[component.name]
            if world.running:
                pool.nodes.stand(component.initial_replicas * pool.pods.gpus)
            self._want(pool, component.initial_replicas)

    @property
    def now_s(self) -> float:
        return self.serving.now / TICKS_PER_S

    # --- the World of the control loop

    async def observe(self, now_s: float) -> Observation:
        """Let everything happen until now, and say what is seen."""
        self.serving.run_to(round(now_s * TICKS_PER_S))
        if not self.world.metrics.every_s:
            self._scrape()
        return Observation(
            time_s=now_s,
            pools=tuple(self._seen(pool, now_s) for pool in self.pools.values()),
            totals=self.gateway_view.totals(),
        )

    async def act(self, decisions: Sequence[Decision]) -> None:
        """Set each pool's scale."""
        for decision in decisions:
            pool = self.pools[decision.component]
            if decision.desired != pool.pods.desired:
                self._want(pool, decision.desired)

    # --- what is seen

    def _seen(self, pool: _Pool, now_s: float) -> PoolSeen:
        states = [pod.state for pod in pool.pods.by_id.values()]
        ready = [pool.views[pod.id] for pod in pool.pods.in_state(PodState.READY)]
        return PoolSeen(
            component=pool.component.name,
            desired=pool.pods.desired,
            starting=states.count(PodState.PENDING) + states.count(PodState.STARTING),
            ready=len(ready),
            draining=states.count(PodState.DRAINING),
            signals=self._signals(pool, ready, now_s),
            workers=tuple(self._worker_seen(pool, pod, now_s) for pod in pool.pods.by_id.values()),
        )

    def _signals(self, pool: _Pool, ready: Sequence[WorkerView], now_s: float) -> Mapping[Signal, Sample]:
        lead_time_s = pool.lead_times.next_s(room=self._has_room(pool))
        if self._prometheus is not None:
            return self._prometheus.signals(pool.scraped, now_s, lead_time_s=lead_time_s)
        gateway = self.gateway_view.signals(now_s, pool.interval_s)
        return pool_signals(ready, gateway, lead_time_s=lead_time_s, now_s=now_s)

    def _worker_seen(self, pool: _Pool, pod: Pod, now_s: float) -> WorkerSeen:
        view = pool.views.get(pod.id)
        prefixes = view.prefixes(now_s) if view is not None else None
        return WorkerSeen(
            id=pod.id,
            state=_SEEN_AS[pod.state],
            since_s=pod.since_s,
            ready_at_s=pod.ready_at_s if pod.state is PodState.STARTING else None,
            running=int(view.value(RUNNING)) if view is not None else 0,
            queue=int(view.value(WAITING)) if view is not None else 0,
            kv_usage=view.value(KV_USAGE_SERIES) if view is not None else 0.0,
            hit_ratio=prefixes.found / prefixes.queried if prefixes else 0.0,
        )

    def _scrape(self) -> None:
        """Read every counter, as a scrape at this instant would."""
        at_s = self.now_s
        self.serving.split_bursts()
        self.records.counters.held = len(self.serving.held)
        self.gateway_view.read(at_s, self.records.counters)
        if self._prometheus is not None:
            self._prometheus.scrape_gateway(at_s, self.records.counters)
        for pool in self.pools.values():
            for pod_id, view in pool.views.items():
                worker = self.serving.workers.get(pod_id)
                if worker is not None:
                    counters = WorkerCounters(worker)
                    view.read(at_s, counters)
                    if self._prometheus is not None:
                        self._prometheus.scrape_worker(at_s, pod_id, counters)
                    self.serving.router.measured(pod_id, counters.load(at_s), at_s)

    # --- what is done

    def _want(self, pool: _Pool, replicas: int) -> None:
        now_s = self.now_s
        made, surplus = pool.pods.want(replicas, self._in_flight, now_s)
        for pod in made:
            self._pool_of[pod.id] = pool
            self._pods[pod.id] = pod
            self._place(pool, pod)
        for pod in surplus:
            if pod.state is PodState.READY:
                pool.pods.enter(pod, PodState.DRAINING, now_s)
                self.serving.retire(pod.id)
            else:
                self._remove(pool, pod)
        if pool.own_nodes:
            self._scan(pool.nodes)

    def _place(self, pool: _Pool, pod: Pod) -> None:
        """Put a pending pod on a node that has room, if there is one."""
        node = pool.nodes.place(pod.gpus)
        if node is None:
            pod.waited = True
            return
        now_s = self.now_s
        cold = not node.cached
        takes_s = self._delays.draw(pool.start.cold if cold else pool.start.warm)
        if self.world.running and not self.serving.now:
            takes_s = 0.0
        pod.node, pod.ready_at_s = node.id, now_s + takes_s
        pool.pods.enter(pod, PodState.STARTING, now_s)
        self._in(takes_s, partial(self._ready, pool, pod))

    def _ready(self, pool: _Pool, pod: Pod) -> None:
        if pod.id not in pool.pods.by_id or pod.state is not PodState.STARTING:
            return  # it was not wanted any more
        now_s = self.now_s
        pod.ready_at_s = now_s
        pool.pods.enter(pod, PodState.READY, now_s)
        if now_s > pod.created_s:  # else it was there from the start, and says nothing
            pool.lead_times.took(now_s - pod.created_s, waited=pod.waited)
        if pod.node is not None:
            pool.nodes.cache(pod.node)
        pool.views[pod.id] = WorkerView(now_s)
        pool.scraped.append(pod.id)
        self.serving.start(pool.component, pod.id)

    def _gone(self, pod_id: str) -> None:
        """A draining pod's last request has ended."""
        self._remove(self._pool_of[pod_id], self._pods[pod_id])

    def _remove(self, pool: _Pool, pod: Pod) -> None:
        del pool.pods.by_id[pod.id]
        del self._pods[pod.id], self._pool_of[pod.id]
        pool.views.pop(pod.id, None)
        if self._prometheus is not None:
            self._prometheus.gone(pod.id)
        if pod.node is not None:
            pool.nodes.leave(pod.node, pod.gpus, self.now_s)
            if pool.own_nodes:
                self._scan(pool.nodes)

    def _scan(self, nodes: NodePool) -> None:
        """The cluster autoscaler looks at one node pool."""
        now_s = self.now_s
        pending = [
            (pool, pod)
            for pool in self.pools.values()
            if pool.nodes is nodes
            for pod in pool.pods.in_state(PodState.PENDING)
        ]
        for node in nodes.wanted((pod.gpus for _, pod in pending), now_s):
            takes_s = self._delays.draw(nodes.spec.reprovision if node.cached else nodes.spec.provision)
            node.ready_at_s = now_s + takes_s
            self._in(takes_s, partial(self._joined, nodes, node.id))
        nodes.remove_unneeded(now_s)

    def _joined(self, nodes: NodePool, node_id: int) -> None:
        nodes.join(node_id, self.now_s)
        for pool in self.pools.values():
            if pool.nodes is nodes:
                for pod in pool.pods.in_state(PodState.PENDING):
                    self._place(pool, pod)

    # --- upkeep

    def _pool(self, component: ComponentSpec, shared: dict[str, NodePool]) -> _Pool:
        interval_s = policy_for(self.spec, component).interval_s
        startup = component.engine.startup
        nodes = shared.get(component.gpu.vm_size) if component.gpu is not None else None
        warm = DelaySpec(mean_s=startup.warm_s)
        if nodes is not None:
            start = self.world.pod_start or PodStartSpec()
            return _Pool(component, nodes, start, interval_s, own_nodes=False)
        own = NodePoolSpec(
            vm_size=component.gpu.vm_size if component.gpu is not None else "none",
            provision=DelaySpec(mean_s=max(0.0, startup.cold_s - startup.warm_s)),
            reprovision=DelaySpec(mean_s=0.0),
            deallocate=True,
            unneeded_s=0.0,
            delay_after_add_s=0.0,
        )
        each = component.gpu.count if component.gpu is not None else 1
        return _Pool(
            component, NodePool(own, gpus=each), PodStartSpec(cold=warm, warm=warm), interval_s, own_nodes=True
        )

    def _has_room(self, pool: _Pool) -> bool:
        gpus = pool.pods.gpus
        return any(
            node.free_gpus >= gpus and (node.joined or (node.state is NodeState.DEALLOCATED and node.cached))
            for node in pool.nodes.nodes.values()
        )

    def _in_flight(self, pod: Pod) -> int:
        worker = self.serving.workers.get(pod.id)
        return len(worker.requests) if worker is not None else 0

    def _in(self, seconds: float, call: Callable[[], None]) -> None:
        self.serving.at(self.serving.now + math.ceil(seconds * TICKS_PER_S), call)

    def _every(self, seconds: float, call: Callable[[], None]) -> None:
        def again(turn: int) -> None:
            call()
            self.serving.at(round((turn + 1) * seconds * TICKS_PER_S), partial(again, turn + 1))

        self.serving.at(round(seconds * TICKS_PER_S), partial(again, 1))
