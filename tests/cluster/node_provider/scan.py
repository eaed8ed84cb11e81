"""One look of a cluster autoscaler: which nodes to add, which to remove. Pure.

Rules of the real one (FAQ of kubernetes/autoscaler): it adds for pods that the scheduler called unschedulable, after
packing them on what is there and what is coming; a group never leaves its bounds, the first group that helps is taken.
Pods of priority below -10 neither add a node nor keep one. A node is unneeded while it is used less than half (a GPU
node: its GPUs only) and every pod on it may move and finds room elsewhere; it goes when it was so for long enough and
nothing was added lately: all empty ones at once, others one at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from kubelet.node import NodeSpec
from kubelet.quantity import amounts

from node_provider.fitting import Pod, Room, placed, requests

EXPENDABLE_BELOW = -10
GPU = "nvidia.com/gpu"
SAFE = "cluster-autoscaler.kubernetes.io/safe-to-evict"


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes that are alike.

    Args:
        cold_s: from the decision until a new node joins. warm_s: the same for one that comes back within `warm_for_s`
            of the last that went, whose disk was kept.
    """

    name: str
    allocatable: Mapping[str, str]
    max_nodes: int
    min_nodes: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    cold_s: float = 300.0
    warm_s: float = 60.0
    warm_for_s: float = 0.0

    def node(self, number: int) -> NodeSpec:
        """The node of a number."""
        labels = {**self.labels, "testbed/node-group": self.name}
        return NodeSpec(f"{self.name}-{number}", dict(self.allocatable), labels, tuple(map(dict, self.taints)))


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults are the autoscaler's."""

    scan_s: float = 10.0
    unneeded_s: float = 600.0
    delay_after_add_s: float = 600.0
    utilisation: float = 0.5


@dataclass(slots=True)
class Memory:
    """What the autoscaler remembers from one look to the next. Nodes by name, there or coming."""

    nodes: dict[str, NodeGroup] = field(default_factory=dict)
    unneeded_since_s: dict[str, float] = field(default_factory=dict)
    last_add_s: float | None = None
    added: int = 0
    gone_at_s: dict[str, list[float]] = field(default_factory=dict)  # by group: whose disks are kept


@dataclass(frozen=True, slots=True)
class Add:
    """Boot a node."""

    node: NodeSpec
    delay_s: float


@dataclass(frozen=True, slots=True)
class Remove:
    """Drain a node of these pods, and take it away."""

    node: str
    pods: tuple[Pod, ...]


def scan(
    groups: Sequence[NodeGroup],
    settings: Settings,
    memory: Memory,
    pods: Iterable[Pod],
    joined: Iterable[str],
    *,
    now_s: float,
) -> list[Add | Remove]:
    """One look. Mutates the memory. Args: joined: names of nodes that are up; those of the memory beside are coming."""
    counted = [pod for pod in pods if _counts(pod)]
    rooms = _rooms(memory, counted)
    unplaced = placed(filter(_is_unschedulable, counted), rooms.values())
    added = _add(groups, memory, unplaced, now_s)
    if added:
        memory.last_add_s = now_s
        memory.unneeded_since_s.clear()
        return list(added)
    lately = memory.last_add_s is not None and now_s - memory.last_add_s < settings.delay_after_add_s
    return list(_remove(settings, memory, counted, rooms, set(joined), now_s, lately))


def _add(groups: Sequence[NodeGroup], memory: Memory, unplaced: Sequence[Pod], now_s: float) -> list[Add]:
    added: list[Add] = []
    rooms: list[Room] = []

    def grow(group: NodeGroup) -> Room:
        node = group.node(memory.added)
        memory.added += 1
        memory.nodes[node.name] = group
        added.append(Add(node, _delay_s(group, memory, now_s)))
        rooms.append(Room(node.name, node.labels, node.taints, amounts(node.allocatable)))
        return rooms[-1]

    for group in groups:
        while _count(memory, group) < group.min_nodes:
            grow(group)
    for pod in unplaced:
        if not placed([pod], rooms):
            continue
        for group in groups:
            template = group.node(0)
            empty = Room("", template.labels, template.taints, amounts(template.allocatable))
            if _count(memory, group) < group.max_nodes and empty.fits(pod):
                grow(group).take(pod)
                break
    return added


def _remove(
    settings: Settings,
    memory: Memory,
    pods: Sequence[Pod],
    rooms: dict[str, Room],
    joined: set[str],
    now_s: float,
    lately: bool,
) -> Iterable[Remove]:
    drained = False
    for name, group in sorted(memory.nodes.items()):
        on_it = [pod for pod in pods if pod["spec"].get("nodeName") == name and not _is_daemon(pod)]
        others = [Room(r.name, r.labels, r.taints, dict(r.free)) for r in rooms.values() if r.name != name]
        if name not in joined or not _is_unneeded(settings, group, on_it, others):
            memory.unneeded_since_s.pop(name, None)
            continue
        since_s = memory.unneeded_since_s.setdefault(name, now_s)
        due = now_s - since_s >= settings.unneeded_s and not lately and _count(memory, group) > group.min_nodes
        if due and not (on_it and drained):
            drained = drained or bool(on_it)
            del memory.nodes[name], memory.unneeded_since_s[name], rooms[name]
            placed(on_it, rooms.values())
            memory.gone_at_s.setdefault(group.name, []).append(now_s)
            yield Remove(name, tuple(on_it))


def _is_unneeded(settings: Settings, group: NodeGroup, on_it: Sequence[Pod], others: Sequence[Room]) -> bool:
    has = amounts(group.allocatable)
    used: dict[str, Fraction] = {}
    for pod in on_it:
        for name, n in requests(pod).items():
            used[name] = used.get(name, Fraction(0)) + n
    counted = [GPU] if has.get(GPU) else ["cpu", "memory"]
    if any(has.get(name) and used.get(name, 0) / has[name] >= settings.utilisation for name in counted):
        return False
    return all(map(_may_move, on_it)) and not placed(on_it, others)


def _rooms(memory: Memory, pods: Sequence[Pod]) -> dict[str, Room]:
    rooms = {}
    for name, group in memory.nodes.items():
        template = group.node(0)
        rooms[name] = Room(name, template.labels, template.taints, amounts(group.allocatable))
    for pod in pods:
        if room := rooms.get(pod["spec"].get("nodeName", "")):
            room.take(pod)
    return rooms


def _delay_s(group: NodeGroup, memory: Memory, now_s: float) -> float:
    kept = [at_s for at_s in memory.gone_at_s.get(group.name, ()) if now_s - at_s < group.warm_for_s]
    memory.gone_at_s[group.name] = kept[:-1]
    return group.warm_s if kept else group.cold_s


def _count(memory: Memory, group: NodeGroup) -> int:
    return sum(one.name == group.name for one in memory.nodes.values())


def _counts(pod: Pod) -> bool:
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not ended and pod["spec"].get("priority", 0) >= EXPENDABLE_BELOW


def _is_unschedulable(pod: Pod) -> bool:
    if pod["spec"].get("nodeName") or "deletionTimestamp" in pod["metadata"]:
        return False
    conditions: Sequence[Mapping[str, Any]] = pod.get("status", {}).get("conditions", ())
    return any(
        one["type"] == "PodScheduled" and one["status"] == "False" and one.get("reason") == "Unschedulable"
        for one in conditions
    )


def _is_daemon(pod: Pod) -> bool:
    return any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", ()))


def _may_move(pod: Pod) -> bool:
    said = pod["metadata"].get("annotations", {}).get(SAFE)
    return said == "true" or (said is None and bool(pod["metadata"].get("ownerReferences")))
