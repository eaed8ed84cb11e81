"""A pod's life as a state machine: events in, instructions out. Pure; the driver says what time it is.

    a container:  WAITING --start--> STARTING --launched--> RUNNING --stop--> STOPPING --exited--> ENDED
                     ^                    |                    |                               |
                     +----- back-off -----+------ exited ------+------ restart policy --------+

A stop runs the preStop hook, sends SIGTERM when it is done, and SIGKILL when the grace period is over, which the hook
spends too; after the hook there are always 2 s. A deletion stops every container and ends with `Finish`, once all have.
The first restart is at once, the next after 10 s, doubled each time up to 300 s, and begun anew after 600 s of peace.
Source: kubelet 1.34 (kuberuntime_container.go, kubelet.go, client-go's flowcontrol/backoff.go).
"""

import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kubelet.container import Container

BACKOFF_S = 10.0
MAX_BACKOFF_S = 300.0
AFTER_HOOK_S = 2.0
LEAST_GRACE_S = 1.0  # a grace period of 0 is one of 1
STARTUP, READINESS, LIVENESS = "startup", "readiness", "liveness"


class State(StrEnum):
    """Where a container is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Launched:
    """Its process runs."""

    container: str


@dataclass(frozen=True, slots=True)
class Exited:
    """Its process is gone, or could not be started (with a message)."""

    container: str
    code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A probe's thresholds are crossed."""

    container: str
    kind: str
    well: bool


@dataclass(frozen=True, slots=True)
class HookDone:
    """The preStop hook has ended, well or not."""

    container: str


@dataclass(frozen=True, slots=True)
class Delete:
    """The pod is to go within a grace period."""

    grace_s: float


Event = Launched | Exited | Verdict | HookDone | Delete | None  # None: time passed


@dataclass(frozen=True, slots=True)
class Start:
    """Start its process."""

    container: str


@dataclass(frozen=True, slots=True)
class RunHook:
    """Run its preStop hook, at most until a signal is sent."""

    container: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send its processes a signal."""

    container: str
    number: signal.Signals


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing runs any more: take the pod from the API."""


Instruction = Start | RunHook | Send | Finish


@dataclass(frozen=True, slots=True)
class Ending:
    """How one run of a container ended."""

    code: int
    message: str
    started_at_s: float
    ended_at_s: float


@dataclass(slots=True)
class ContainerLife:
    """What is known of one container.

    Args:
        wake_at_s: of a waiting one when it starts; of a stopping one when it is killed.
        started: its startup probe passed, or it has none.
        passed: its readiness probe's last verdict, or it has none.
    """

    spec: Container
    state: State = State.WAITING
    wake_at_s: float = -math.inf
    launched_at_s: float = math.nan
    started: bool = False
    passed: bool = False
    hook_is_due: bool = False
    hook_runs: bool = False
    sent: signal.Signals | None = None
    restarts: int = 0
    last: Ending | None = None
    backoff_s: float = 0.0
    backoff_at_s: float = -math.inf

    @property
    def runs(self) -> bool:
        return self.state in (State.RUNNING, State.STOPPING)

    @property
    def ready(self) -> bool:
        return self.runs and self.started and self.passed


class PodMachine:
    """One pod on its node."""

    def __init__(self, containers: Sequence[Container], *, restart_policy: str, grace_s: float) -> None:
        self.containers = {container.name: ContainerLife(container) for container in containers}
        self.deleting = False
        self._restart_policy = restart_policy
        self._grace_s = grace_s
        self._finished = False

    def handle(self, event: Event, *, now_s: float) -> list[Instruction]:
        """One event, or just that time passed. Returns: what is to be done, in this order."""
        match event:
            case Launched(name):
                self._launched(self.containers[name], now_s)
            case Exited(name, code, message):
                self._exited(self.containers[name], code, message, now_s)
            case Verdict(name, kind, well):
                self._judged(self.containers[name], kind, well, now_s)
            case HookDone(name):
                self._hook_done(self.containers[name], now_s)
            case Delete(grace_s):
                self._delete(max(grace_s, LEAST_GRACE_S), now_s)
        instructions = [done for life in self.containers.values() for done in self._advance(life, now_s)]
        if self.deleting and not self._finished and all(life.state == State.ENDED for life in self.containers.values()):
            self._finished = True
            instructions.append(Finish())
        return instructions

    @property
    def wake_at_s(self) -> float:
        """When `handle(None)` has something to do, if nothing happens before; infinity for never."""
        waiting = (
            life.wake_at_s
            for life in self.containers.values()
            if life.state == State.WAITING or (life.state == State.STOPPING and life.sent != signal.SIGKILL)
        )
        return min(waiting, default=math.inf)

    def _launched(self, life: ContainerLife, now_s: float) -> None:
        life.state = State.RUNNING
        life.launched_at_s = now_s
        life.started = life.spec.startup is None
        life.passed = life.spec.readiness is None
        if self.deleting:  # the order to go came between
            self._stop(life, max(self._grace_s, LEAST_GRACE_S), now_s)

    def _exited(self, life: ContainerLife, code: int, message: str, now_s: float) -> None:
        launched_at_s = life.launched_at_s if life.runs else now_s
        life.last = Ending(code, message, launched_at_s, now_s)
        life.state = State.ENDED
        life.started = life.passed = life.hook_runs = False
        again = self._restart_policy == "Always" or (self._restart_policy == "OnFailure" and code != 0)
        if again and not self.deleting:
            if now_s - life.backoff_at_s > 2 * MAX_BACKOFF_S:
                life.backoff_s = 0.0
            life.state = State.WAITING
            life.wake_at_s = now_s + life.backoff_s

    def _judged(self, life: ContainerLife, kind: str, well: bool, now_s: float) -> None:
        if not life.runs:
            return
        if kind == READINESS:
            life.passed = well
        elif kind == STARTUP and well:
            life.started = True
        elif not well and life.state == State.RUNNING:
            probe = life.spec.startup if kind == STARTUP else life.spec.liveness
            own_grace_s = probe.termination_grace_s if probe else None
            self._stop(life, self._grace_s if own_grace_s is None else own_grace_s, now_s)

    def _hook_done(self, life: ContainerLife, now_s: float) -> None:
        if life.state == State.STOPPING and life.hook_runs:
            life.hook_runs = False
            life.wake_at_s = max(life.wake_at_s, now_s + AFTER_HOOK_S)

    def _delete(self, grace_s: float, now_s: float) -> None:
        self.deleting = True
        self._grace_s = grace_s
        for life in self.containers.values():
            if life.state == State.RUNNING:
                self._stop(life, grace_s, now_s)
            elif life.state == State.STOPPING:
                life.wake_at_s = min(life.wake_at_s, now_s + grace_s)
            elif life.state == State.WAITING:
                life.state = State.ENDED

    def _stop(self, life: ContainerLife, grace_s: float, now_s: float) -> None:
        life.state = State.STOPPING
        life.sent = None
        life.hook_is_due = life.spec.pre_stop is not None
        life.wake_at_s = now_s + grace_s

    def _advance(self, life: ContainerLife, now_s: float) -> list[Instruction]:
        name = life.spec.name
        if life.state == State.WAITING and now_s >= life.wake_at_s:
            if life.last is not None:
                life.restarts += 1
                life.backoff_s = min(max(2 * life.backoff_s, BACKOFF_S), MAX_BACKOFF_S)
                life.backoff_at_s = now_s
            life.state = State.STARTING
            return [Start(name)]
        if life.state != State.STOPPING or life.sent == signal.SIGKILL:
            return []
        if life.hook_runs and now_s >= life.wake_at_s:
            self._hook_done(life, now_s)
        if life.sent is None and life.hook_is_due:
            life.hook_is_due, life.hook_runs = False, True
            return [RunHook(name)]
        if life.sent is None and not life.hook_runs:
            life.sent = signal.SIGTERM
            return [Send(name, signal.SIGTERM)]
        if life.sent and now_s >= life.wake_at_s:
            life.sent = signal.SIGKILL
            return [Send(name, signal.SIGKILL)]
        return []
