"""The pods of one pool: what a Deployment's controller, a scheduler and a kubelet make of a replica count. Pure.

    pending --a node has room--> starting --image, weights, engine--> ready --not wanted--> draining --> gone
       its worker crashed: starting again, after a back-off <-- ready
       its node is silent:              starting, ready --> lost --noticed--> gone, and another is made

Scaling in removes lost and pending pods first, then those that start, then the ready ones that cost least: fewest
requests in flight, then the youngest. It knows neither engines nor clocks: whoever drives it says when a pod is placed,
is ready, or is gone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class PodState(StrEnum):
    """Where a pod is in its life."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    LOST = "lost"


FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 10.0, 300.0  # kubelet's CrashLoopBackOff; the first restart is at once
FORGIVEN_AFTER_S = 600.0  # a container that ran for so long starts from nothing again (twice the longest)


@dataclass(slots=True)
class Pod:
    """One replica.

    Args:
        node: where it is; None while pending. `waited`: there was no room for it at first.
        ready_at_s: when it will be ready, or was; None while pending or lost.
        crashes: how often its worker crashed.
    """

    id: str
    component: str
    gpus: int
    created_s: float
    state: PodState = PodState.PENDING
    since_s: float = 0.0
    node: int | None = None
    waited: bool = False
    ready_at_s: float | None = None
    crashes: int = 0
    _back_off_s: float = 0.0
    _started_again_s: float = float("-inf")

    def crashed(self, now_s: float) -> float:
        """Its worker crashed. Returns: seconds until kubelet starts it again."""
        self.crashes += 1
        if now_s - self._started_again_s > FORGIVEN_AFTER_S:
            self._back_off_s = 0.0
        wait_s = self._back_off_s
        self._back_off_s = min(LONGEST_BACK_OFF_S, max(FIRST_BACK_OFF_S, 2 * wait_s))
        self._started_again_s = now_s + wait_s
        return wait_s


@dataclass(slots=True)
class Pods:
    """All pods of one pool that are not gone."""

    component: str
    gpus: int
    desired: int = 0
    by_id: dict[str, Pod] = field(default_factory=dict)
    _born: int = 0

    def in_state(self, state: PodState) -> list[Pod]:
        """Those in that state, oldest first."""
        return [pod for pod in self.by_id.values() if pod.state is state]

    def want(self, replicas: int, in_flight: Callable[[Pod], int], now_s: float) -> tuple[list[Pod], list[Pod]]:
        """The scale says so many.

        Args:
            in_flight: requests that a ready pod has.
        Returns: pods that were made, pending; and pods that are to go.
        """
        self.desired = replicas
        live = [pod for pod in self.by_id.values() if pod.state is not PodState.DRAINING]
        surplus = len(live) - replicas
        if surplus > 0:
            return [], sorted(live, key=lambda pod: _cost_of_removal(pod, in_flight))[:surplus]
        made = []
        for _ in range(-surplus):
            self._born += 1
            pod = Pod(f"{self.component}-{self._born}", self.component, self.gpus, now_s, since_s=now_s)
            self.by_id[pod.id] = pod
            made.append(pod)
        return made, []

    def enter(self, pod: Pod, state: PodState, now_s: float) -> None:
        """It enters another state."""
        pod.state, pod.since_s = state, now_s


_ORDER = {PodState.LOST: 0, PodState.PENDING: 0, PodState.STARTING: 1, PodState.READY: 2}


def _cost_of_removal(pod: Pod, in_flight: Callable[[Pod], int]) -> tuple[int, float, float]:
    ready = pod.state is PodState.READY
    return _ORDER[pod.state], in_flight(pod) if ready else 0.0, -pod.created_s
