"""What a look at the virtual cluster shows: pods, by what their scrapes said last. Pure."""

from collections.abc import Mapping

from penstock.control.worker_view import KV_USAGE, RUNNING, WAITING, WorkerView
from penstock.messages.observation import PoolSeen, Sample, Signal, WorkerSeen
from penstock.messages.worker import WorkerState
from penstock.simulator.pods import Pod, Pods, PodState

_SEEN_AS = {
    PodState.PENDING: WorkerState.STARTING,
    PodState.STARTING: WorkerState.STARTING,
    PodState.READY: WorkerState.READY,
    PodState.DRAINING: WorkerState.DRAINING,
    PodState.LOST: WorkerState.STARTING,  # Kubernetes calls it not ready, and counts it
}


def pool_seen(
    pods: Pods, views: Mapping[str, WorkerView], signals: Mapping[Signal, Sample], *, now_s: float
) -> PoolSeen:
    """One component.

    Args:
        views: of the workers that serve.
    """
    states = [_SEEN_AS[pod.state] for pod in pods.by_id.values()]
    return PoolSeen(
        component=pods.component,
        desired=pods.desired,
        starting=states.count(WorkerState.STARTING),
        ready=states.count(WorkerState.READY),
        draining=states.count(WorkerState.DRAINING),
        signals=signals,
        workers=tuple(_worker_seen(pod, views.get(pod.id), now_s) for pod in pods.by_id.values()),
    )


def _worker_seen(pod: Pod, view: WorkerView | None, now_s: float) -> WorkerSeen:
    prefixes = view.prefixes(now_s) if view is not None else None
    return WorkerSeen(
        id=pod.id,
        state=_SEEN_AS[pod.state],
        since_s=pod.since_s,
        ready_at_s=pod.ready_at_s if pod.state is PodState.STARTING else None,
        running=int(view.value(RUNNING)) if view is not None else 0,
        queue=int(view.value(WAITING)) if view is not None else 0,
        kv_usage=view.value(KV_USAGE) if view is not None else 0.0,
        hit_ratio=prefixes.found / prefixes.queried if prefixes else 0.0,
    )
