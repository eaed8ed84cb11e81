"""The pods of one pool as they come, serve and go: since when each does, and what their starts took.

A pod counts from when it is ready. What a new one takes to serve is learnt from those that became ready, apart for
those that found a node and those that waited for one.
"""

from collections.abc import Sequence

from penstock.control import worker_view
from penstock.control.cluster_pods import ClusterPod
from penstock.control.lead_times import LeadTimes
from penstock.control.pod_metrics import Metrics
from penstock.messages.engine_spec import StartupSpec
from penstock.messages.observation import PoolSeen, WorkerSeen
from penstock.messages.worker import WorkerState


class PoolPods:
    """One pool's.

    Args:
        startup: what a start takes, until one was seen.
        interval_s: how often the pool is decided.
    """

    def __init__(self, name: str, startup: StartupSpec, metrics: Metrics, *, interval_s: float) -> None:
        self.name = name
        self._metrics, self._interval_s = metrics, interval_s
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
            self._lead_times.took(pod.lead_time_s, waited=pod.waited)
        for uid in self._ready_since.keys() - {pod.uid for pod in pods}:
            del self._ready_since[uid]

    def seen(self, desired: int | None, now_s: float) -> PoolSeen:
        """The pool as a policy sees it. Args: desired: by its scale; None if nobody says: then what there is."""
        ready = [pod for pod in self._pods if pod.state is WorkerState.READY and pod.uid in self._ready_since]
        starting = [pod for pod in self._pods if pod.state is WorkerState.STARTING]
        return PoolSeen(
            component=self.name,
            desired=len(ready) + len(starting) if desired is None else desired,
            starting=len(starting),
            ready=len(ready),
            draining=sum(pod.state is WorkerState.DRAINING for pod in self._pods),
            signals=self._metrics.signals(
                self.name,
                ready,
                interval_s=self._interval_s,
                lead_time_s=self._lead_times.next_s(room=not any(pod.waited for pod in starting)),
                now_s=now_s,
            ),
            workers=tuple(self._worker(pod, now_s) for pod in self._pods),
        )

    def _worker(self, pod: ClusterPod, now_s: float) -> WorkerSeen:
        return WorkerSeen(
            id=pod.name,
            state=pod.state,
            since_s=self._ready_since.get(pod.uid, now_s - pod.age_s),
            running=int(self._metrics.gauge(pod, worker_view.RUNNING)),
            queue=int(self._metrics.gauge(pod, worker_view.WAITING)),
            kv_usage=self._metrics.gauge(pod, worker_view.KV_USAGE),
        )
