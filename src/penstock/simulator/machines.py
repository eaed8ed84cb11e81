"""Nodes come and go: the cluster autoscaler's scans, joining, prefetching, maintenance, loss; with the world's delays.

What is added and removed is decided in `nodes`; this module draws the delays and keeps the calendar. A lost node takes
its workers with it at once, is paid for until somebody notices, and then its pods are made anew; the autoscaler buys
another if they need one. A node under maintenance is cordoned, its pods drain while others take their place, then it
goes.
"""

from collections.abc import Mapping
from functools import partial

from penstock.simulator.calendar import Calendar
from penstock.simulator.delays import Delays
from penstock.simulator.failures import Failures
from penstock.simulator.nodes import Node, NodePool, NodeState
from penstock.simulator.replicas import Replicas
from penstock.simulator.world_spec import PodStartSpec


class Machines:
    """All nodes of a virtual cluster.

    Args:
        shared: the world's node pools, by VM size.
        own: those that are one component's own, and its VM size.
        start: what prefetching takes.
    """

    def __init__(
        self,
        shared: Mapping[str, NodePool],
        own: list[tuple[str, NodePool]],
        start: PodStartSpec,
        calendar: Calendar,
        delays: Delays,
        failures: Failures,
    ) -> None:
        self._pools = [*shared.items(), *own]
        self._own = {id(nodes) for _, nodes in own}
        self._fetch = start
        self._calendar, self._delays, self._failures = calendar, delays, failures
        for nodes in shared.values():
            calendar.every(nodes.spec.scan_s, partial(self._scan, nodes))
            for at_s in nodes.spec.maintenance_s:
                calendar.at(at_s, partial(self._maintain, nodes))
        for failure in failures.spec.at:
            if failure.node is not None:
                calendar.at(failure.seconds, partial(self._lose_some, failure.node, failure.count))
        self.replicas: Replicas

    def begin(self) -> None:
        """The first pods were placed; some nodes are there already."""
        for _, nodes in self._pools:
            nodes.hold()
            for node in nodes.nodes.values():
                if node.joined:
                    self._live(nodes, node)

    def changed(self, nodes: NodePool) -> None:
        """Pods have left, or are wanted: there may be room, or need."""
        if id(nodes) in self._own:
            self._scan(nodes)
        else:
            self._schedule(nodes)

    def _schedule(self, nodes: NodePool) -> None:
        self.replicas.place_pending(nodes)  # before placeholders, whose priority is lower
        nodes.hold()

    def _scan(self, nodes: NodePool) -> None:
        """The cluster autoscaler looks at one node pool."""
        now_s = self._calendar.now_s
        for node in nodes.wanted(self.replicas.pending_gpus(nodes), now_s):
            if node.cached:
                takes_s = self._delays.draw(nodes.spec.restart)
            else:
                takes_s = self._delays.draw(nodes.spec.vm) + self._delays.draw(nodes.spec.driver)
            node.ready_at_s = now_s + takes_s
            self._calendar.after(takes_s, partial(self._joined, nodes, node))
        nodes.remove_unneeded(now_s)

    def _joined(self, nodes: NodePool, node: Node) -> None:
        nodes.join(node.id, self._calendar.now_s)
        self._live(nodes, node)
        self._prefetch(nodes, node)
        self._schedule(nodes)

    def _prefetch(self, nodes: NodePool, node: Node) -> None:
        if nodes.spec.prefetch == "nothing" or node.cached:
            return
        image_s = self._delays.draw(self._fetch.image)
        self._calendar.after(image_s, partial(self._fetched, nodes, node, weights=False))
        if nodes.spec.prefetch == "weights":
            weights_s = self._delays.draw(self._fetch.weights)
            self._calendar.after(image_s + weights_s, partial(self._fetched, nodes, node, weights=True))

    def _fetched(self, nodes: NodePool, node: Node, *, weights: bool) -> None:
        if nodes.nodes.get(node.id) is node and node.joined:
            nodes.cache(node.id, weights=weights)

    # --- nodes that go

    def _maintain(self, nodes: NodePool) -> None:
        """The oldest node is to go."""
        node = next((node for node in nodes.nodes.values() if node.joined), None)
        if node is not None:
            nodes.cordon(node.id, self._calendar.now_s)
            self.replicas.evict(nodes, node)
            self._schedule(nodes)

    def _live(self, nodes: NodePool, node: Node) -> None:
        """Draw how long a node that has joined will be there."""
        life_s = self._failures.node_life_s()
        if life_s is not None:
            self._calendar.after(life_s, partial(self._lose, nodes, node, node.ready_at_s))

    def _lose_some(self, vm_size: str, count: int) -> None:
        among = [
            (nodes, node)
            for size, nodes in self._pools
            if size == vm_size
            for node in nodes.nodes.values()
            if node.joined
        ]
        for nodes, node in self._failures.victims(among, count):
            self._lose(nodes, node, node.ready_at_s)

    def _lose(self, nodes: NodePool, node: Node, joined_s: float) -> None:
        """A node falls silent, unless it is gone or has joined anew since that was drawn."""
        there = nodes.nodes.get(node.id) is node and (node.joined or node.state is NodeState.CORDONED)
        if there and node.ready_at_s == joined_s:
            nodes.lose(node.id)
            self.replicas.lose(nodes, node)
            self._calendar.after(self._failures.spec.node_noticed_s, partial(self._noticed, nodes, node))

    def _noticed(self, nodes: NodePool, node: Node) -> None:
        self.replicas.give_up(nodes, node)
        nodes.forget(node.id)
        self.changed(nodes)
