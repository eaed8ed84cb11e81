"""GPU nodes of one VM size under a cluster autoscaler. Pure: the driver says what time it is, and draws the delays.

    absent --scale-up--> provisioning --joined--> cold --image and weights are on its disk--> warm
                                                    |                                           |
        gone <---- empty ---- cordoned <-- to go ---+--- unneeded for long enough: removed -----+---> lost --> gone

A removed node is gone for good, or, with `deallocate`, keeps its disk: it comes back sooner and warm, and costs nothing
meanwhile (AKS' scale-down mode `Deallocate`). A scan adds nodes for pods that found no room, up to `max_nodes`, unless
the cloud has none (`stock_outs`), which is tried again after a back-off; it removes nodes that held no pod for
`unneeded_s`, none of them within `delay_after_add_s` of the last addition. Source: the cluster autoscaler's FAQ; AKS'
defaults are those of `NodePoolSpec`.

Placeholders hold GPUs as pods do, so their nodes are needed; a pod that finds no free room takes theirs. Those without
room are pending, and count in a scan.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.messages.observation import NodePoolSeen
from penstock.simulator.world_spec import NodePoolSpec


class NodeState(StrEnum):
    """Where a node is in its life. `CORDONED`: takes no pod; `LOST`: silent; `DEALLOCATED`: off, its disk kept."""

    PROVISIONING = "provisioning"
    COLD = "cold"
    WARM = "warm"
    CORDONED = "cordoned"
    LOST = "lost"
    DEALLOCATED = "deallocated"


@dataclass(slots=True)
class Node:
    """One VM.

    Args:
        ready_at_s: when it joins or joined. idle_since_s: since when no pod is on it.
        image, weights: whether they are on its disk.
        used_gpus, held_gpus: what pods and placeholders have of it.
    """

    id: int
    gpus: int
    state: NodeState
    ready_at_s: float
    idle_since_s: float
    image: bool = False
    weights: bool = False
    used_gpus: int = 0
    held_gpus: int = 0

    @property
    def free_gpus(self) -> int:
        return self.gpus - self.used_gpus - self.held_gpus

    @property
    def cached(self) -> bool:
        """Whether a pod need not fetch anything there."""
        return self.image and self.weights

    @property
    def joined(self) -> bool:
        """Whether pods can be placed there."""
        return self.state in (NodeState.COLD, NodeState.WARM)


@dataclass(slots=True)
class NodePool:
    """The nodes of one VM size.

    Args:
        gpus: of each node.
    """

    spec: NodePoolSpec
    gpus: int
    nodes: dict[int, Node] = field(default_factory=dict)
    _born: int = 0
    _added_s: float = float("-inf")
    _try_again_s: float = float("-inf")

    def __post_init__(self) -> None:
        self.stand((), nodes=self.spec.min_nodes)

    def stand(self, pods: Iterable[int], *, nodes: int = 0) -> None:
        """Warm nodes are there from the start: so many, and room for pods of these GPUs, up to `max_nodes`."""
        rooms = [node.free_gpus for node in self.nodes.values()]
        for gpus in pods:
            if gpus <= self.gpus and not _fit(rooms, gpus):
                rooms.append(self.gpus - gpus)
        while len(self.nodes) < min(self.spec.max_nodes, max(nodes, len(rooms))):
            node = self._add(0.0)
            node.image = node.weights = True
            self.join(node.id, 0.0)

    # --- pods and placeholders

    def place(self, gpus: int) -> tuple[Node, bool] | None:
        """Take room for a pod: on a warm node if there is one, the fullest first, and free room before placeholders'.

        Returns: the node, and whether placeholders leave for it. None, if there is no room.
        """
        joined = [node for node in self.nodes.values() if node.joined]
        fitting = [node for node in joined if node.free_gpus >= gpus]
        preempts = not fitting
        if preempts:
            fitting = [node for node in joined if node.free_gpus + node.held_gpus >= gpus]
        if not fitting:
            return None
        node = min(fitting, key=lambda node: (not node.cached, node.free_gpus, node.id))
        while node.free_gpus < gpus:
            node.held_gpus -= self._each
        node.used_gpus += gpus
        return node, preempts

    def leave(self, node_id: int, gpus: int, now_s: float) -> None:
        """A pod has left a node."""
        node = self.nodes[node_id]
        node.used_gpus -= gpus
        self._emptied(node, now_s)

    def hold(self) -> None:
        """Placeholders that are pending take what room there is, on the fullest nodes first."""
        for node in sorted(self.nodes.values(), key=lambda node: (node.free_gpus, node.id)):
            while node.joined and node.free_gpus >= self._each and self.pending_placeholders:
                node.held_gpus += self._each

    @property
    def pending_placeholders(self) -> int:
        """Placeholders without a node."""
        held = sum(node.held_gpus for node in self.nodes.values())
        return self.spec.placeholders.count - held // self._each

    # --- the cluster autoscaler

    def wanted(self, pending: Iterable[int], now_s: float) -> list[Node]:
        """Add nodes for pods that found no room, whose GPUs are given, for placeholders, and up to `min_nodes`.

        Nodes already on their way take the first of them.
        Returns: those now provisioning, still undated.
        """
        if now_s < self._try_again_s:
            return []
        coming = [node.gpus for node in self.nodes.values() if node.state is NodeState.PROVISIONING]
        there = len(coming) + sum(node.joined for node in self.nodes.values())
        added: list[Node] = []
        # A pod of no GPU at the end stands for each node that has to be there.
        for gpus in (*pending, *[self._each] * self.pending_placeholders, *[0] * self.spec.min_nodes):
            if gpus > self.gpus or (_fit(coming, gpus) if gpus else there + len(added) >= self.spec.min_nodes):
                continue
            if self.in_use >= self.spec.max_nodes:
                break
            if any(start <= now_s < end for start, end in self.spec.stock_outs):
                self._try_again_s = now_s + self.spec.back_off_s
                break
            node = self._add(now_s)
            added.append(node)
            coming.append(node.gpus - gpus)
        if added:
            self._added_s = now_s
        return added

    def join(self, node_id: int, now_s: float) -> None:
        """A provisioned node advertises its GPUs."""
        node = self.nodes[node_id]
        node.state = NodeState.WARM if node.cached else NodeState.COLD
        node.ready_at_s = node.idle_since_s = now_s

    def cache(self, node_id: int, *, weights: bool) -> None:
        """The image is on its disk, and the weights if so."""
        node = self.nodes[node_id]
        node.image, node.weights = True, node.weights or weights
        if node.joined and node.cached:
            node.state = NodeState.WARM

    def remove_unneeded(self, now_s: float) -> list[Node]:
        """Remove nodes that held no pod for long enough, the emptiest of need first, down to `min_nodes`."""
        if now_s < self._added_s + self.spec.delay_after_add_s:
            return []
        removed = []
        for node in sorted(self.nodes.values(), key=lambda node: node.idle_since_s):
            if not node.joined or node.free_gpus < node.gpus or now_s < node.idle_since_s + self.spec.unneeded_s:
                continue
            if self.in_use <= self.spec.min_nodes:
                break
            if self.spec.deallocate:
                node.state = NodeState.DEALLOCATED
            else:
                del self.nodes[node.id]
            removed.append(node)
        return removed

    # --- nodes that go

    def cordon(self, node_id: int, now_s: float) -> None:
        """It takes no pod any more, placeholders leave at once, and it is gone once it is empty."""
        node = self.nodes[node_id]
        node.state, node.held_gpus = NodeState.CORDONED, 0
        self._emptied(node, now_s)

    def lose(self, node_id: int) -> None:
        """It is silent, and still paid for until somebody notices: see `forget`."""
        node = self.nodes[node_id]
        node.state, node.held_gpus = NodeState.LOST, 0

    def forget(self, node_id: int) -> None:
        """A lost node, whose pods have left, is gone."""
        del self.nodes[node_id]

    @property
    def in_use(self) -> int:
        """Nodes that are paid for."""
        return sum(node.state is not NodeState.DEALLOCATED for node in self.nodes.values())

    def seen(self, vm_size: str) -> NodePoolSeen:
        """What anybody can see of it."""
        states = [node.state for node in self.nodes.values()]
        return NodePoolSeen(
            vm_size=vm_size,
            gpus_per_node=self.gpus,
            provisioning=states.count(NodeState.PROVISIONING),
            cold=states.count(NodeState.COLD),
            warm=states.count(NodeState.WARM),
            cordoned=states.count(NodeState.CORDONED) + states.count(NodeState.LOST),
            deallocated=states.count(NodeState.DEALLOCATED),
            in_use=sum(node.used_gpus for node in self.nodes.values()),
            held=sum(node.held_gpus for node in self.nodes.values()),
        )

    @property
    def placeholders(self) -> list[int]:
        """GPUs of each placeholder that there should be."""
        return [self._each] * self.spec.placeholders.count

    @property
    def _each(self) -> int:
        """GPUs of a placeholder."""
        return self.spec.placeholders.gpus or self.gpus

    def _emptied(self, node: Node, now_s: float) -> None:
        if not node.used_gpus:
            node.idle_since_s = now_s
            if node.state is NodeState.CORDONED:
                del self.nodes[node.id]

    def _add(self, now_s: float) -> Node:
        kept = next((node for node in self.nodes.values() if node.state is NodeState.DEALLOCATED), None)
        if kept is not None:
            kept.state = NodeState.PROVISIONING
            return kept
        self._born += 1
        node = Node(self._born, self.gpus, NodeState.PROVISIONING, now_s, now_s)
        self.nodes[node.id] = node
        return node


def _fit(rooms: list[int], gpus: int) -> bool:
    for place, room in enumerate(rooms):
        if room >= gpus:
            rooms[place] -= gpus
            return True
    return False
