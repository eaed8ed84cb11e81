"""Looks at a virtual cluster that is driven by hand, and what must hold of it at any instant."""

from virtual_runs import Run

from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import Observation
from penstock.simulator.clock import VirtualClock
from penstock.simulator.pods import PodState


def look(run: Run, at_s: float) -> Observation:
    """What is seen at an instant."""
    return VirtualClock().run(run.cluster.observe(at_s))


def want(run: Run, component: str, replicas: int) -> None:
    """Set a component's scale."""
    decision = Decision(
        time_s=0.0, component=component, policy="t", current=0, desired=replicas, limited_by=LimitedBy.NONE, reason="."
    )
    VirtualClock().run(run.cluster.act([decision]))


def check_world(run: Run, seen: Observation) -> None:
    """Pods, nodes, engines and router agree, and nothing is held twice."""
    cluster = run.cluster
    serving = {
        pod.id
        for pool in cluster.pools.values()
        for pod in pool.pods.by_id.values()
        if pod.state in (PodState.READY, PodState.DRAINING)
    }
    assert set(cluster.serving.workers) == serving
    assert set(cluster.serving.router.workers) <= serving
    for pool in cluster.pools.values():
        live = [pod for pod in pool.pods.by_id.values() if pod.state is not PodState.DRAINING]
        assert len(live) == pool.pods.desired
        on_it = [other for other in cluster.pools.values() if other.nodes is pool.nodes]
        for node in pool.nodes.nodes.values():
            pods = [pod for other in on_it for pod in other.pods.by_id.values() if pod.node == node.id]
            assert node.used_gpus == sum(pod.gpus for pod in pods)
            assert node.held_gpus >= 0
            assert node.free_gpus >= 0
        assert all(pod.node in pool.nodes.nodes for pod in pool.pods.by_id.values() if pod.node is not None)
        assert pool.nodes.pending_placeholders >= 0
        assert pool.nodes.in_use <= pool.nodes.spec.max_nodes
    for nodes in seen.nodes:
        assert 0 <= nodes.in_use + nodes.held <= nodes.paid_gpus
