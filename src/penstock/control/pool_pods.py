"""The pods of one pool as they come, serve and go: what is known of each, and what their starts took.

A pod counts from when it is ready; then it has a view of its own, which whoever asks it fills. What a new one takes to
serve is learnt from those that became ready, apart for those that found a node and those that waited for one.
"""

from collections.abc import Mapping, Sequence

from penstock.control import worker_view
from penstock.control.cluster_pods import ClusterPod
from penstock.control.lead_times import LeadTimes
from penstock.control.pool_signals import pool_signals
from penstock.control.worker_view import WorkerView
from penstock.messages.engine_spec import StartupSpec
from penstock.messages.observation import PoolSeen, Sample, Signal, WorkerSeen
from penstock.messages.worker import WorkerState


class PoolPods:
    """One pool's. Args: startup: what a start takes, until one was seen."""

    def __init__(self, name: str, startup: StartupSpec) -> None:
        self.name = name
        self._views: dict[str, WorkerView] = {}
        self._ready_since: dict[str, float] = {}
        self._lead_times = LeadTimes(startup)
        self._pods: Sequence[ClusterPod] = ()

    def saw(self, pods: Sequence[ClusterPod], now_s: float) -> None:
        """These are its pods now."""
        self._pods = pods
        for pod in pods:
            if pod.state is not WorkerState.READY or pod.uid in self._ready_since or pod.lead_time_s is None:
                continue
            self._ready_since[pod.uid] = now_s - max(0.0, pod.age_s - pod.lead_time_s)
            self._views[pod.uid] = WorkerView(now_s)
            self._lead_times.took(pod.lead_time_s, waited=pod.waited)
        for uid in self._ready_since.keys() - {pod.uid for pod in pods}:
            del self._ready_since[uid], self._views[uid]

    def view(self, pod: ClusterPod) -> WorkerView | None:
        """What is known of a pod; None before it was ready."""
        return self._views.get(pod.uid)

    def seen(self, desired: int | None, gateway: Mapping[Signal, Sample], now_s: float) -> PoolSeen:
        """The pool as a policy sees it.

        Args:
            desired: by its scale; None if nobody says: then what there is.
            gateway: what the gateway says.
        """
        ready = [pod for pod in self._pods if pod.state is WorkerState.READY and pod.uid in self._views]
        starting = [pod for pod in self._pods if pod.state is WorkerState.STARTING]
        return PoolSeen(
            component=self.name,
            desired=len(ready) + len(starting) if desired is None else desired,
            starting=len(starting),
            ready=len(ready),
            draining=sum(pod.state is WorkerState.DRAINING for pod in self._pods),
            signals=pool_signals(
                [self._views[pod.uid] for pod in ready],
                gateway,
                lead_time_s=self._lead_times.next_s(room=not any(pod.waited for pod in starting)),
                now_s=now_s,
            ),
            workers=tuple(self._worker(pod, now_s) for pod in self._pods),
        )

    def _worker(self, pod: ClusterPod, now_s: float) -> WorkerSeen:
        view = self._views.get(pod.uid)
        return WorkerSeen(
            id=pod.name,
            state=pod.state,
            since_s=self._ready_since.get(pod.uid, now_s - pod.age_s),
            running=int(view.value(worker_view.RUNNING)) if view is not None else 0,
            queue=int(view.value(worker_view.WAITING)) if view is not None else 0,
            kv_usage=view.value(worker_view.KV_USAGE) if view is not None else 0.0,
        )
