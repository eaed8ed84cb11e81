"""GPU nodes under a cluster autoscaler: who is added, when, and who goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.simulator.nodes import Node, NodePool, NodeState
from penstock.simulator.world_spec import NodePoolSpec


def pool(gpus: int = 2, **spec: object) -> NodePool:
    return NodePool(NodePoolSpec.model_validate({"vm_size": "Standard_NC48ads_A100_v4", **spec}), gpus)


def joined(nodes: NodePool, *pending: int, now_s: float = 0.0) -> list[Node]:
    """Ask for room for these pods and let the nodes join at once."""
    added = nodes.wanted(pending, now_s)
    for node in added:
        nodes.join(node.id, now_s)
    return added


def placed_on(nodes: NodePool, gpus: int) -> Node | None:
    """Where a pod is placed, if no placeholder has to leave for it."""
    found = nodes.place(gpus)
    assert found is None or not found[1]
    return found[0] if found is not None else None


@pytest.mark.parametrize(
    ("pending", "nodes"),
    [((), 0), ((1,), 1), ((1, 1), 1), ((1, 1, 1), 2), ((2, 1, 1), 2), ((2, 2, 2), 3), ((3,), 0)],
)
def test_as_many_nodes_are_added_as_the_pending_pods_take(pending: tuple[int, ...], nodes: int) -> None:
    """Pods that fit into one node together get one; a pod that fits into none gets none."""
    assert len(pool().wanted(pending, 0.0)) == nodes


def test_a_node_on_its_way_is_not_asked_for_again() -> None:
    """The next scan, with the same pod pending, adds nothing."""
    nodes = pool()
    assert len(nodes.wanted((1,), 0.0)) == 1
    assert not nodes.wanted((1, 1), 10.0)
    assert len(nodes.wanted((1, 1, 1), 20.0)) == 1


def test_the_quota_is_kept() -> None:
    """Never more than `max_nodes`."""
    nodes = pool(max_nodes=2)
    assert len(nodes.wanted((2,) * 5, 0.0)) == 2
    assert not nodes.wanted((2,) * 5, 10.0)


def test_a_stock_out_is_tried_again_after_the_back_off() -> None:
    """While the cloud has none, and for the back-off after asking, nothing is added."""
    nodes = pool(stock_outs=((100, 130),), back_off_s=60)
    assert not nodes.wanted((1,), 120.0)
    assert not nodes.wanted((1,), 150.0)
    assert len(nodes.wanted((1,), 180.0)) == 1


def test_pods_go_to_nodes_that_have_the_image_and_fill_them_up() -> None:
    """A cached node before an empty one, the fullest first; with no room, nowhere."""
    nodes = pool()
    first, second = joined(nodes, 2, 2)
    nodes.cache(second.id, weights=True)
    assert placed_on(nodes, 1) is second
    assert placed_on(nodes, 1) is second
    assert placed_on(nodes, 1) is first
    assert placed_on(nodes, 2) is None


def test_an_unneeded_node_goes_after_ten_minutes_and_not_sooner_after_an_addition() -> None:
    """Both waits of the cluster autoscaler hold."""
    nodes = pool()
    (node,) = joined(nodes, 1)
    assert placed_on(nodes, 1) is node
    nodes.leave(node.id, 1, 100.0)
    assert not nodes.remove_unneeded(699.0)
    joined(nodes, 2, 2, now_s=690.0)
    assert not nodes.remove_unneeded(1200.0)
    assert node in nodes.remove_unneeded(1291.0)


def test_a_deallocated_node_comes_back_warm() -> None:
    """It costs nothing meanwhile, and is taken before a new one is made."""
    nodes = pool(deallocate=True, unneeded_s=0, delay_after_add_s=0)
    (node,) = joined(nodes, 1)
    nodes.cache(node.id, weights=True)
    assert nodes.remove_unneeded(10.0) == [node]
    assert nodes.in_use == 0
    assert nodes.wanted((1,), 20.0) == [node]
    assert node.state is NodeState.PROVISIONING
    nodes.join(node.id, 30.0)
    assert node.state is NodeState.WARM


@given(st.lists(st.tuples(st.sampled_from(["want", "leave", "scan"]), st.integers(1, 2)), max_size=60))
def test_gpus_are_never_promised_twice(steps: list[tuple[str, int]]) -> None:
    """Whatever comes, used GPUs are those of placed pods, and a node with a pod does not go."""
    nodes = pool(max_nodes=3, unneeded_s=0, delay_after_add_s=0)
    placed: list[tuple[int, int]] = []
    for turn, (what, gpus) in enumerate(steps):
        if what == "want":
            node = placed_on(nodes, gpus)
            if node is None:
                joined(nodes, gpus, now_s=float(turn))
            else:
                placed.append((node.id, gpus))
        elif what == "leave" and placed:
            node_id, taken = placed.pop()
            nodes.leave(node_id, taken, float(turn))
        else:
            nodes.remove_unneeded(float(turn))
        assert len(nodes.nodes) <= 3
        assert {node_id for node_id, _ in placed} <= set(nodes.nodes)
        for node in nodes.nodes.values():
            assert node.used_gpus == sum(taken for node_id, taken in placed if node_id == node.id)
            assert 0 <= node.used_gpus <= node.gpus


def test_placeholders_hold_nodes_until_a_pod_takes_their_place() -> None:
    """Free room comes first; the one that had to leave is pending again, so the next node is bought for it."""
    nodes = pool(placeholders={"count": 2, "gpus": 1})
    (node,) = joined(nodes)
    nodes.hold()
    assert (node.held_gpus, nodes.pending_placeholders) == (2, 0)
    assert not nodes.remove_unneeded(10_000.0)
    assert nodes.place(1) == (node, True)
    assert (node.held_gpus, nodes.pending_placeholders) == (1, 1)
    (second,) = joined(nodes)
    nodes.hold()
    assert (second.held_gpus, nodes.pending_placeholders) == (1, 0)
    assert nodes.place(1) == (second, False)
    nodes.leave(node.id, 1, 50.0)
    assert nodes.place(2) == (node, True)


def test_a_cordoned_node_takes_nothing_and_goes_with_its_last_pod() -> None:
    """Its placeholders leave at once; a lost one stays until somebody notices."""
    nodes = pool(placeholders={"count": 1, "gpus": 1})
    first, second = joined(nodes, 2)
    assert nodes.place(1) == (first, False)
    nodes.hold()
    assert first.held_gpus == 1
    nodes.cordon(first.id, 10.0)
    assert nodes.pending_placeholders == 1
    assert nodes.place(1) == (second, False)
    nodes.leave(first.id, 1, 20.0)
    assert list(nodes.nodes) == [second.id]
    nodes.lose(second.id)
    nodes.leave(second.id, 1, 30.0)
    assert nodes.place(1) is None
    assert nodes.seen("size").cordoned == 1
    nodes.forget(second.id)
    assert not nodes.nodes


def test_a_pools_least_nodes_are_bought_again() -> None:
    """One that was lost is replaced even if no pod needs it, and only one is."""
    nodes = pool(min_nodes=2)
    nodes.lose(1)
    assert len(nodes.wanted((2,), 0.0)) == 1
    assert not nodes.wanted((2,), 10.0)
