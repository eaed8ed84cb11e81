"""Which pods the HorizontalPodAutoscaler counts, and as what.

Kubernetes sorts the pods of a target before it looks at a per-pod metric: terminating and failed ones are ignored;
pending ones are unready; those without a sample are missing; and, for CPU only, young pods that are not ready, or
whose sample is older than their readiness, are unready too (start-up work is not load). A Value target uses another,
simpler count: Running and Ready, terminating or not.

Source: Kubernetes 1.34, pkg/controller/podautoscaler/replica_calculator.go (groupPods, getReadyPodsCount).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from penstock.messages.observation import PoolSeen, Sample

CPU_INITIALIZATION_S = 300.0  # --horizontal-pod-autoscaler-cpu-initialization-period
INITIAL_READINESS_S = 30.0  # --horizontal-pod-autoscaler-initial-readiness-delay


class Phase(StrEnum):
    """A pod's phase."""

    PENDING = "Pending"
    RUNNING = "Running"
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuSample:
    """CPU that a pod used, in thousandths of a core, averaged over the `window_s` that ended at `at_s`."""

    milli: int
    at_s: float
    window_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What the controller reads of one pod.

    Args:
        ready: status of the Ready condition; None if the pod has none yet.
        ready_since_s: when that status last changed.
        started_at_s: when the kubelet took it; None if it has not.
        request_milli: CPU requested, in thousandths of a core.
        cpu: what the resource metrics API says of it; None if nothing.
    """

    name: str
    phase: Phase = Phase.RUNNING
    ready: bool | None = True
    ready_since_s: float = 0.0
    started_at_s: float | None = 0.0
    terminating: bool = False
    request_milli: int = 1000
    cpu: CpuSample | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGroups:
    """Names of pods by how a CPU metric counts them; `ready` is every pod that none of the others holds."""

    ready: frozenset[str]
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def group_pods(
    pods: Sequence[Pod],
    *,
    now_s: float,
    cpu_initialization_s: float = CPU_INITIALIZATION_S,
    initial_readiness_s: float = INITIAL_READINESS_S,
) -> PodGroups:
    """Sort pods for a CPU target."""
    ready, unready, missing, ignored = set(), set(), set(), set()
    for pod in pods:
        if pod.terminating or pod.phase is Phase.FAILED:
            ignored.add(pod.name)
        elif pod.phase is Phase.PENDING:
            unready.add(pod.name)
        elif pod.cpu is None:
            missing.add(pod.name)
        elif _too_young(pod, pod.cpu, now_s, cpu_initialization_s, initial_readiness_s):
            unready.add(pod.name)
        else:
            ready.add(pod.name)
    return PodGroups(
        ready=frozenset(ready), unready=frozenset(unready), missing=frozenset(missing), ignored=frozenset(ignored)
    )


def running_and_ready(pods: Sequence[Pod]) -> int:
    """Count the pods that multiply a Value target's ratio: terminating ones count as long as they are Ready."""
    return sum(1 for pod in pods if pod.phase is Phase.RUNNING and pod.ready is True)


def pods_of(seen: PoolSeen, cpu: Sample | None, *, now_s: float) -> tuple[Pod, ...]:
    """A pool's replicas as the controller would see them; each ready one has used the pool's mean CPU.

    Ready replicas count as long ready: an observation does not say when a pod's CPU was sampled, so the rules for young
    pods apply only to those that still start.
    """
    sample = None
    if cpu is not None:
        sample = CpuSample(milli=int(cpu.value * 1000), at_s=now_s - cpu.age_s)
    ready = tuple(Pod(name=f"ready-{i}", cpu=sample, ready_since_s=-1e9, started_at_s=-1e9) for i in range(seen.ready))
    starting = tuple(
        Pod(name=f"starting-{i}", phase=Phase.PENDING, ready=None, started_at_s=None) for i in range(seen.starting)
    )
    draining = tuple(Pod(name=f"draining-{i}", terminating=True) for i in range(seen.draining))
    return ready + starting + draining


def _too_young(
    pod: Pod, sample: CpuSample, now_s: float, cpu_initialization_s: float, initial_readiness_s: float
) -> bool:
    if pod.ready is None or pod.started_at_s is None:
        return True
    if pod.started_at_s + cpu_initialization_s > now_s:
        return pod.ready is False or sample.at_s < pod.ready_since_s + sample.window_s
    return pod.ready is False and pod.started_at_s + initial_readiness_s > pod.ready_since_s
