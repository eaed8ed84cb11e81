"""GPU nodes of one VM size under a cluster autoscaler. Pure: the driver says what time it is, and draws the delays.

    absent --scale-up--> provisioning --joined--> cold --first pod has pulled image and weights--> warm
                                                    |                                               |
                                                    +------ unneeded for long enough: removed ------+

A removed node is gone for good, or, with `deallocate`, keeps its disk: it comes back sooner and warm, and costs nothing
meanwhile (AKS' scale-down mode `Deallocate`). A scan adds nodes for pods that found no room, up to `max_nodes`, unless
the cloud has none (`stock_outs`), which is tried again after a back-off; it removes nodes that held no pod for
`unneeded_s`, none of them within `delay_after_add_s` of the last addition. Source: the cluster autoscaler's FAQ; AKS'
defaults are those of `NodePoolSpec`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.simulator.world_spec import NodePoolSpec


class NodeState(StrEnum):
    """Where a node is in its life; `DEALLOCATED` is off, with its disk kept."""

    PROVISIONING = "provisioning"
    COLD = "cold"
    WARM = "warm"
    DEALLOCATED = "deallocated"


@dataclass(slots=True)
class Node:
    """One VM. `ready_at_s`: when it joins or joined; `idle_since_s`: since when no pod is on it."""

    id: int
    gpus: int
    state: NodeState
    ready_at_s: float
    idle_since_s: float
    cached: bool = False  # image and weights are on its disk
    used_gpus: int = 0

    @property
    def free_gpus(self) -> int:
        return self.gpus - self.used_gpus

    @property
    def joined(self) -> bool:
        """Whether pods can run there."""
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
        self.stand(self.spec.min_nodes * self.gpus)

    def stand(self, gpus: int) -> None:
        """So many GPUs are there from the start, on warm nodes."""
        while sum(node.gpus for node in self.nodes.values()) < gpus:
            node = self._add(0.0)
            node.cached = True
            self.join(node.id, 0.0)

    def place(self, gpus: int) -> Node | None:
        """Take room for a pod: on a warm node if there is one, the fullest first. None, if there is none."""
        fitting = [node for node in self.nodes.values() if node.joined and node.free_gpus >= gpus]
        if not fitting:
            return None
        node = min(fitting, key=lambda node: (not node.cached, node.free_gpus, node.id))
        node.used_gpus += gpus
        return node

    def leave(self, node_id: int, gpus: int, now_s: float) -> None:
        """A pod has left a node."""
        node = self.nodes[node_id]
        node.used_gpus -= gpus
        if not node.used_gpus:
            node.idle_since_s = now_s

    def wanted(self, pending: Iterable[int], now_s: float) -> list[Node]:
        """Add nodes for pods that found no room, whose GPUs are given. Returns: those now provisioning, still undated.

        Nodes already on their way take the first of them.
        """
        if now_s < self._try_again_s:
            return []
        coming = [node.gpus for node in self.nodes.values() if node.state is NodeState.PROVISIONING]
        added: list[Node] = []
        for gpus in pending:
            if gpus > self.gpus or _fit(coming, gpus):
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
        """A provisioned node has joined the cluster."""
        node = self.nodes[node_id]
        node.state = NodeState.WARM if node.cached else NodeState.COLD
        node.idle_since_s = now_s

    def cache(self, node_id: int) -> None:
        """A pod became ready there: image and weights are on its disk."""
        node = self.nodes[node_id]
        node.cached, node.state = True, NodeState.WARM

    def remove_unneeded(self, now_s: float) -> list[Node]:
        """Remove nodes that held no pod for long enough, the emptiest of need first, down to `min_nodes`."""
        if now_s < self._added_s + self.spec.delay_after_add_s:
            return []
        removed = []
        for node in sorted(self.nodes.values(), key=lambda node: node.idle_since_s):
            if not node.joined or node.used_gpus or now_s < node.idle_since_s + self.spec.unneeded_s:
                continue
            if self.in_use <= self.spec.min_nodes:
                break
            if self.spec.deallocate:
                node.state = NodeState.DEALLOCATED
            else:
                del self.nodes[node.id]
            removed.append(node)
        return removed

    @property
    def in_use(self) -> int:
        """Nodes that are paid for."""
        return sum(node.state is not NodeState.DEALLOCATED for node in self.nodes.values())

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
