"""Carries out a scale: pods are made, placed, started, drained, and started again when their worker crashes.

What Kubernetes' Deployment controller, scheduler and kubelet do, with the delays of the world. What each decides is
decided in `pods` and `nodes`; this module draws the delays, keeps the calendar, and tells the hot loop and the way of
the metrics which workers are there. Nodes come and go by `machines`.

A real pod without room takes the place of placeholders, and waits until they have left.
"""

from collections.abc import Callable, Mapping
from functools import partial

from penstock.simulator.calendar import Calendar
from penstock.simulator.component_pool import ComponentPool
from penstock.simulator.delays import Delays
from penstock.simulator.failures import Failures
from penstock.simulator.metric_path import MetricPath
from penstock.simulator.nodes import Node, NodePool
from penstock.simulator.pods import Pod, PodState
from penstock.simulator.serving import Serving

_SERVES = (PodState.READY, PodState.DRAINING)


class Replicas:
    """The pods of all components.

    Args:
        pools: by component.
        changed: told of nodes whose pods changed, other than by being placed.
        running: what stands at the first instant serves at once.
    """

    def __init__(
        self,
        pools: Mapping[str, ComponentPool],
        serving: Serving,
        path: MetricPath,
        calendar: Calendar,
        delays: Delays,
        failures: Failures,
        *,
        changed: Callable[[NodePool], None],
        running: bool,
    ) -> None:
        self._pools = pools
        self._serving, self._path, self._calendar = serving, path, calendar
        self._delays, self._failures = delays, failures
        self._changed = changed
        self._running = running
        self._home: dict[str, tuple[ComponentPool, Pod]] = {}
        for failure in failures.spec.at:
            if failure.worker is not None:
                calendar.at(failure.seconds, partial(self._crash_some, pools[failure.worker], failure.count))

    def want(self, pool: ComponentPool, replicas: int) -> None:
        """The scale says so many."""
        made, surplus = pool.pods.want(replicas, self._in_flight, self._calendar.now_s)
        for pod in made:
            self._home[pod.id] = (pool, pod)
            self._place(pool, pod)
        for pod in surplus:
            self._let_go(pool, pod)
        if pool.own_nodes:
            self._changed(pool.nodes)

    def place_pending(self, nodes: NodePool) -> None:
        """There may be room now."""
        for pool in self._on(nodes):
            for pod in pool.pods.in_state(PodState.PENDING):
                self._place(pool, pod)

    def pending_gpus(self, nodes: NodePool) -> list[int]:
        """GPUs of each pod that waits for such a node."""
        return [pod.gpus for pool in self._on(nodes) for pod in pool.pods.in_state(PodState.PENDING)]

    def drained(self, pod_id: str) -> None:
        """A draining pod's last request has ended."""
        self._remove(*self._home[pod_id])

    # --- all pods of a node

    def evict(self, nodes: NodePool, node: Node) -> None:
        """They are to leave it, in order; others take their place."""
        for pool, pod in self._pods_on(nodes, node):
            self._let_go(pool, pod)
        self._make_up(nodes)

    def lose(self, nodes: NodePool, node: Node) -> None:
        """It fell silent: their workers are gone, and nobody has noticed yet."""
        for pool, pod in self._pods_on(nodes, node):
            if pod.id in pool.pods.by_id and (pod.state not in _SERVES or self._kill(pool, pod)):
                pod.ready_at_s = None
                pool.pods.enter(pod, PodState.LOST, self._calendar.now_s)

    def give_up(self, nodes: NodePool, node: Node) -> None:
        """Somebody has noticed: they are made anew elsewhere."""
        for pool, pod in self._pods_on(nodes, node):
            self._remove(pool, pod)
        self._make_up(nodes)

    # --- one pod

    def _place(self, pool: ComponentPool, pod: Pod) -> None:
        """Put a pending pod on a node that has room, if there is one."""
        found = pool.nodes.place(pod.gpus)
        if found is None:
            pod.waited = True
            return
        node, preempts = found
        takes_s = pool.nodes.spec.placeholders.leave_s if preempts else 0.0
        if not node.image:
            takes_s += self._delays.draw(pool.start.image)
        if not node.weights:
            takes_s += self._delays.draw(pool.start.weights)
        takes_s += self._delays.draw(pool.start.engine)
        pod.node = node.id
        self._start(pool, pod, 0.0 if self._running and not self._calendar.now_s else takes_s)

    def _start(self, pool: ComponentPool, pod: Pod, takes_s: float) -> None:
        now_s = self._calendar.now_s
        pod.ready_at_s = now_s + takes_s
        pool.pods.enter(pod, PodState.STARTING, now_s)
        self._calendar.after(takes_s, partial(self._ready, pool, pod))

    def _ready(self, pool: ComponentPool, pod: Pod) -> None:
        if pod.id not in pool.pods.by_id or pod.state is not PodState.STARTING:
            return  # it was not wanted any more, or its node was lost
        now_s = self._calendar.now_s
        pod.ready_at_s = now_s
        pool.pods.enter(pod, PodState.READY, now_s)
        if now_s > pod.created_s and not pod.crashes:  # else it says nothing of how long a new one takes
            pool.lead_times.took(now_s - pod.created_s, waited=pod.waited)
        if pod.node is not None:
            pool.nodes.cache(pod.node, weights=True)
        self._serving.start(pool.component, pod.id)
        self._path.appeared(pool.component.name, self._serving.workers[pod.id])
        life_s = self._failures.worker_life_s()
        if life_s is not None:
            self._calendar.after(life_s, partial(self._crash, pool, pod, pod.crashes))

    def _let_go(self, pool: ComponentPool, pod: Pod) -> None:
        if pod.state is PodState.READY:
            pool.pods.enter(pod, PodState.DRAINING, self._calendar.now_s)
            timeout_s = pool.component.engine.drain_timeout_s
            self._calendar.after(timeout_s, partial(self._cut_short, pool, pod))
            self._serving.retire(pod.id)
        elif pod.state is not PodState.DRAINING:
            self._remove(pool, pod)

    def _cut_short(self, pool: ComponentPool, pod: Pod) -> None:
        """Its worker gives up what is left after the drain timeout, as `worker.process` does, and exits."""
        if pod.id in pool.pods.by_id and pod.state is PodState.DRAINING:
            self._kill(pool, pod)

    def _remove(self, pool: ComponentPool, pod: Pod) -> None:
        del pool.pods.by_id[pod.id]
        del self._home[pod.id]
        self._path.gone(pod.id)
        if pod.node is not None:
            pool.nodes.leave(pod.node, pod.gpus, self._calendar.now_s)
            self._changed(pool.nodes)

    def _in_flight(self, pod: Pod) -> int:
        worker = self._serving.workers.get(pod.id)
        return len(worker.requests) if worker is not None else 0

    # --- crashes

    def _crash_some(self, pool: ComponentPool, count: int) -> None:
        for pod in self._failures.victims(pool.pods.in_state(PodState.READY), count):
            self._crash(pool, pod, pod.crashes)

    def _crash(self, pool: ComponentPool, pod: Pod, crashes: int) -> None:
        """A worker process dies, unless it is gone or has crashed since that was drawn."""
        if pod.id not in pool.pods.by_id or pod.state not in _SERVES or pod.crashes != crashes:
            return
        if self._kill(pool, pod):
            wait_s = pod.crashed(self._calendar.now_s)
            self._start(pool, pod, wait_s + self._delays.draw(pool.start.engine))

    def _kill(self, pool: ComponentPool, pod: Pod) -> bool:
        """Its worker is gone. Returns: whether the pod is still there; one that was draining is not."""
        self._path.gone(pod.id)
        self._serving.kill(pod.id)
        if pod.id in pool.pods.by_id and pod.state is PodState.DRAINING:
            self._remove(pool, pod)
        return pod.id in pool.pods.by_id

    # --- who is where

    def _make_up(self, nodes: NodePool) -> None:
        """Make new pods for those that went without being asked to."""
        for pool in self._on(nodes):
            self.want(pool, pool.pods.desired)

    def _on(self, nodes: NodePool) -> list[ComponentPool]:
        return [pool for pool in self._pools.values() if pool.nodes is nodes]

    def _pods_on(self, nodes: NodePool, node: Node) -> list[tuple[ComponentPool, Pod]]:
        return [(pool, pod) for pool in self._on(nodes) for pod in pool.pods.by_id.values() if pod.node == node.id]
