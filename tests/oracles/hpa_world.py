"""A pool's pods over time, as an autoscaler meets them: slow starts, failures, lost readiness, drains, lost samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from penstock.autoscale.hpa_pods import CpuSample, Phase, Pod


@dataclass(slots=True)
class _Life:
    """One pod; instants are whole seconds, so that ages often meet the controller's limits exactly."""

    name: str
    born_s: float
    scheduled_s: float
    running_s: float
    ready_s: float
    request_milli: int
    failed_s: float = float("inf")
    ended: Phase = Phase.FAILED
    unready_s: float = float("inf")  # loses readiness then,
    again_s: float = float("inf")  # and has it back
    terminating_s: float = float("inf")


@dataclass(slots=True)
class PodWorld:
    """Pods that follow the scale.

    Args:
        calm: whether every pod is ready at once and never fails or lacks a sample.
    """

    rng: Random
    calm: bool
    sample_window_s: float = field(init=False)
    start_s: int = field(init=False)
    drain_s: int = field(init=False)
    lives: list[_Life] = field(default_factory=list)
    born: int = 0
    requests: Sequence[int] = field(init=False)
    frailty: float = field(init=False)  # chance that a pod fails, each sync

    def __post_init__(self) -> None:
        rng = self.rng
        self.frailty = rng.choice([0.0, 0.003, 0.003, 0.05])
        self.sample_window_s = rng.choice([0, 10, 15, 30, 60])
        self.start_s = 0 if self.calm else rng.choice([0, 5, 20, 40, 90, 180, 290, 600])
        self.drain_s = rng.choice([0, 10, 30, 120])
        self.requests = rng.choice([(1000,), (1000,), (500,), (250, 1000), (333, 4000, 100)])

    def follow(self, replicas: int, since_s: float, now_s: float) -> None:
        """Bring the pods to the scale that was set at `since_s`."""
        rng = self.rng
        self.lives = [life for life in self.lives if now_s < life.terminating_s + self.drain_s]
        alive = [life for life in self.lives if life.terminating_s > now_s]
        for life in reversed(alive[replicas:]):
            life.terminating_s = since_s
        for _ in range(replicas - len(alive)):
            self._create(since_s)
        if self.calm:
            return
        for life in self.lives:
            if rng.random() < self.frailty and life.failed_s == float("inf"):
                life.failed_s, life.ended = now_s, rng.choice([Phase.FAILED, Phase.SUCCEEDED])
            if rng.random() < 0.01 and life.ready_s < now_s and life.again_s > now_s:
                life.unready_s, life.again_s = now_s - rng.choice([0, 1, 15]), now_s + rng.choice([10, 60, 1000])
        if rng.random() < 0.1:  # a failed pod is replaced
            self.lives = [life for life in self.lives if life.failed_s > now_s]

    def age(self, now_s: float) -> None:
        """Make the pods that there are as old as running ones are when somebody adds an autoscaler."""
        for life in self.lives:
            age_s = self.rng.choice([0, 200, 284, 285, 286, 1000])
            life.born_s = life.scheduled_s = life.running_s = now_s - age_s
            life.ready_s = life.running_s + self.rng.choice([0, 29, 30, 31, 270, 1000])

    @property
    def status_replicas(self) -> int:
        """As a Deployment counts them: without terminating ones."""
        return sum(1 for life in self.lives if life.terminating_s == float("inf") and life.failed_s == float("inf"))

    def pods(self, now_s: float, busy: float, *, even: bool) -> tuple[Pod, ...]:
        """All pods; each running one uses `busy` of its request, exactly that if `even`, else more or less."""
        lost = not self.calm and self.rng.random() < 0.04  # the resource metrics API answers nothing
        return tuple(self._pod(life, now_s, busy, even, lost) for life in self.lives)

    def _create(self, now_s: float) -> None:
        rng = self.rng
        self.born += 1
        scheduled_s = now_s + (0 if self.calm else rng.choice([0, 0, 0, 1, 15, 10_000 if rng.random() < 0.1 else 3]))
        running_s = scheduled_s + (0 if self.calm else rng.choice([0, 1, 2, 10, 30]))
        ready_s = running_s + (0 if self.start_s == 0 else rng.choice([self.start_s, rng.randint(0, self.start_s)]))
        request = rng.choice(self.requests)
        life = _Life(f"p{self.born}", now_s, scheduled_s, running_s, ready_s, request)
        if not self.calm and rng.random() < 0.08:  # ready for a moment and then long not: was it ever?
            life.running_s = life.scheduled_s + 1
            life.ready_s = life.scheduled_s + 2
            life.unready_s, life.again_s = life.scheduled_s + rng.choice([29, 30, 31]), life.scheduled_s + 2000
        self.lives.append(life)

    def _pod(self, life: _Life, now_s: float, busy: float, even: bool, lost: bool) -> Pod:
        rng = self.rng
        ready: bool | None = True
        phase, since_s = Phase.RUNNING, life.ready_s
        if now_s >= life.failed_s:
            phase, since_s = life.ended, life.failed_s
            ready = now_s < life.failed_s + 15  # the condition follows the phase
        elif now_s < life.running_s:
            phase, ready, since_s = Phase.PENDING, (None if now_s < life.scheduled_s else False), life.scheduled_s
        elif now_s < life.ready_s:
            ready, since_s = False, life.scheduled_s
        elif life.unready_s <= now_s < life.again_s:
            ready, since_s = False, life.unready_s
        elif life.again_s <= now_s:
            since_s = life.again_s
        if not self.calm and rng.random() < 0.004:  # a condition not written yet
            ready = None
        sampled = now_s >= life.running_s + (0 if self.calm else self.sample_window_s)
        cpu = None
        if sampled and not lost and phase is not Phase.FAILED and (self.calm or rng.random() > 0.02):
            use = busy * (1 if even else rng.choice([1, 1, 0.8, 1.25, rng.random() * 2]))
            cpu = CpuSample(
                milli=round(life.request_milli * use),
                at_s=now_s if self.calm else max(0.0, now_s - rng.choice([0, 1, 5, 15, 15, 30, 60])),
                window_s=float(self.sample_window_s),
            )
        return Pod(
            name=life.name,
            phase=phase,
            ready=ready,
            ready_since_s=since_s,
            started_at_s=life.scheduled_s if life.scheduled_s <= now_s else None,
            terminating=life.terminating_s <= now_s,
            request_milli=life.request_milli,
            cpu=cpu,
        )
