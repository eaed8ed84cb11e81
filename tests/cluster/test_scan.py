"""What the cluster autoscaler of the testbed decides."""

from typing import Any

from node_provider.scan import Add, Memory, NodeGroup, Remove, Settings, scan

GPUS = NodeGroup(
    "gpu",
    {"cpu": "40", "memory": "300Gi", "pods": "50", "nvidia.com/gpu": "2"},
    max_nodes=3,
    labels={"pool": "gpu"},
    taints=({"key": "sku", "value": "gpu", "effect": "NoSchedule"},),
    cold_s=300,
    warm_s=60,
    warm_for_s=900,
)
SETTINGS = Settings(unneeded_s=600, delay_after_add_s=600)


def pod(gpus: int = 1, *, node: str = "", priority: int = 0, **metadata: Any) -> dict[str, Any]:
    spec = {
        "containers": [{"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}],
        "tolerations": [{"key": "sku", "operator": "Exists"}],
        "priority": priority,
    }
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    owners = [{"kind": "ReplicaSet", "name": "r"}]
    return {
        "metadata": {"ownerReferences": owners, **metadata},
        "spec": spec | ({"nodeName": node} if node else {}),
        "status": {"phase": "Running"} if node else {"phase": "Pending", "conditions": [unschedulable]},
    }


def looked(memory: Memory, pods: list[dict[str, Any]], now_s: float, joined: list[str] | None = None) -> list[Any]:
    up = list(memory.nodes) if joined is None else joined
    return scan([GPUS], SETTINGS, memory, pods, up, now_s=now_s)


def grown(nodes: int) -> Memory:
    memory = Memory()
    assert len(looked(memory, [pod(2)] * nodes, -1000)) == nodes
    return memory


def test_nodes_come_for_pods_without_room_packed_and_up_to_the_maximum() -> None:
    """Three pods of one GPU need two nodes of two; a coming node counts; the maximum holds."""
    memory = Memory()
    assert [(step.node.name, step.delay_s) for step in looked(memory, [pod()] * 3, 0)] == [
        ("gpu-0", 300),
        ("gpu-1", 300),
    ]
    assert looked(memory, [pod()] * 4, 10, joined=[]) == []
    assert len(looked(memory, [pod()] * 9, 20, joined=[])) == 1


def test_only_pods_that_the_scheduler_refused_and_that_would_fit_add_a_node() -> None:
    """Not of priority below -10, nor going, nor not looked at yet, nor such as no node of the group would take."""
    useless = [pod(priority=-11), pod(deletionTimestamp="now"), pod(3), pod() | {"status": {"phase": "Pending"}}]
    intolerant = pod()
    intolerant["spec"]["tolerations"] = []
    elsewhere = pod()
    elsewhere["spec"]["nodeSelector"] = {"pool": "other"}
    assert looked(Memory(), [*useless, intolerant, elsewhere], 0) == []
    assert len(looked(Memory(), [pod(priority=-10)], 0)) == 1


def test_a_node_goes_when_it_was_unneeded_long_enough_and_comes_back_warm() -> None:
    """Not within the delay after an addition; the disk that was kept shortens the next boot, once."""
    memory = Memory()
    looked(memory, [pod()], 0)
    assert looked(memory, [], 300) == []
    assert looked(memory, [], 599) == []
    assert looked(memory, [], 900) == [Remove("gpu-0", ())]
    assert [step.delay_s for step in looked(memory, [pod(2)] * 2, 1000)] == [60, 300]


def test_a_pod_that_comes_back_begins_the_wait_anew() -> None:
    """Unneeded means all the time."""
    memory = grown(1)
    looked(memory, [], 0)
    looked(memory, [pod(node="gpu-0")], 500)
    assert looked(memory, [], 700) == []
    assert looked(memory, [], 1300) == [Remove("gpu-0", ())]


def test_a_node_used_less_than_half_is_drained_only_if_its_pods_find_room() -> None:
    """By GPUs; a placeholder needs its node as any pod, one of priority below -10 does not."""
    big = NodeGroup("gpu", GPUS.allocatable | {"nvidia.com/gpu": "8"}, max_nodes=3, taints=GPUS.taints)

    def after(pods: list[dict[str, Any]]) -> list[Any]:
        memory = Memory(nodes={"gpu-0": big, "gpu-1": big})
        for now_s in (0, 600):
            steps = scan([big], SETTINGS, memory, pods, ["gpu-0", "gpu-1"], now_s=now_s)
        return [(step.node, len(step.pods)) for step in steps]

    few = [pod(3, node="gpu-0")]
    assert after([*few, pod(4, node="gpu-1")]) == [("gpu-0", 1)]
    assert after([*few, pod(6, node="gpu-1")]) == []
    assert after([*few, pod(1, node="gpu-0", priority=-5), pod(4, node="gpu-1")]) == []
    assert after([*few, pod(5, node="gpu-0", priority=-11), pod(4, node="gpu-1")]) == [("gpu-0", 1)]
    stuck = pod(3, node="gpu-0", annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"})
    assert after([stuck, pod(4, node="gpu-1")]) == []


def test_all_empty_nodes_go_at_once_and_used_ones_one_at_a_time() -> None:
    """Never below the minimum, which is also what it begins with."""
    memory = grown(3)
    looked(memory, [], 0)
    assert len(looked(memory, [], 600)) == 3
    least = NodeGroup("gpu", GPUS.allocatable, max_nodes=3, min_nodes=1)
    memory = Memory()
    first = scan([least], SETTINGS, memory, [], [], now_s=0)
    assert [type(step) for step in first] == [Add]
    for now_s in (300, 2000):
        assert scan([least], SETTINGS, memory, [], ["gpu-0"], now_s=now_s) == []
