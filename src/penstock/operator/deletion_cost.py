"""Which pods go when a pool shrinks, and what is to be written on them so that it is they. Pure.

A ReplicaSet deletes pods that are not ready first, then those of the lowest `pod-deletion-cost`, which is 0 where
nobody states it. So the cheapest of the ready ones are marked, when the count is lowered and not before: costs that
followed the load would be written every second, and be old all the same when they are read. As in a pool of processes
(`control.lifecycle`): fewest requests in flight first, then the least use of its cache, then the youngest. A pod that
did not answer may be the busiest of all, so it comes last.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
GOES, STAYS = "-1", "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLoad:
    """What a pod carries.

    Args:
        in_flight: requests; None, if it did not answer.
        cached_tokens_per_s: prompt tokens that it found in its cache, over its life.
        stated: its annotation now, whoever wrote it.
    """

    name: str
    ready: bool
    age_s: float
    in_flight: float | None = None
    cached_tokens_per_s: float = 0.0
    stated: str | None = None


def marks(pods: Iterable[PodLoad], wanted: int) -> dict[str, str]:
    """What is to be written on which pods, so that the cheapest go until `wanted` are left; only what is not there yet.

    Args:
        pods: those that are not on their way out already. What others stated on one is left to count as it does.
    """
    alive = tuple(pods)
    ours = [pod for pod in alive if pod.ready and pod.stated in (None, GOES, STAYS)]
    first = sum(not pod.ready or (pod not in ours and _number(pod.stated) < int(GOES)) for pod in alive)
    going = max(0, len(alive) - wanted - first)
    chosen = {pod.name for pod in sorted(ours, key=_cost)[:going]}
    due = {pod.name: GOES for pod in ours if pod.name in chosen and pod.stated != GOES}
    return due | {pod.name: STAYS for pod in ours if pod.name not in chosen and pod.stated == GOES}


def _cost(pod: PodLoad) -> tuple[float, float, float]:
    in_flight = math.inf if pod.in_flight is None else pod.in_flight
    return in_flight, pod.cached_tokens_per_s, pod.age_s


def _number(stated: str | None) -> int:
    try:
        return int(stated or "0")
    except ValueError:
        return 0  # as the ReplicaSet takes it
