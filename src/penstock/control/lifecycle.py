"""The life of a pool's workers, as a pure state machine: what to start, check, drain and kill, given what happened.

    starting --answers /health, then a real completion--> ready --not wanted--> draining --exits--> gone
       |  died or too late                                  |  died, or silent too long  |  too slow: killed
       +--> gone: again, after a back-off                   +--> gone: replaced          +--> gone

It decides for one pool; it does not know processes, ports or HTTP: a shell carries out the instructions and reports
events, in any order and at any time, late ones of dead workers included. Only a completed answer makes a worker
ready, because engines answer /health before they can serve. A worker leaves the published list before it is drained
or killed. Those that only start are stopped first on a scale-down (they hold no request), then the cheapest ready
ones: fewest requests in flight, then least cache.

A death that nobody asked for is answered by a restart: at once, then with a back-off that doubles up to a bound, until
one was ready for a while or none died for longer. When several starts in a row died before any worker became ready, and
none is ready now, the pool gives up, loudly: trying for ever hides a wrong spec. One that serves is right, so a pool in
which any does keeps trying.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.control.life_events import (
    Check,
    Checked,
    Died,
    Drain,
    Event,
    Exited,
    Instruction,
    Kill,
    Measured,
    PoolGaveUp,
    Probe,
    Probed,
    Publish,
    Spawn,
    Tick,
    Want,
)
from penstock.control.slots import Slots
from penstock.messages.engine_spec import StartupSpec
from penstock.messages.worker import WorkerState

CHECK_STARTING_EVERY_S = 0.25  # a late look at a ready worker is lead time wasted
CHECK_READY_EVERY_S = 1.0
SILENT_AFTER_S = 5.0  # without one good answer to /health: hung; a busy loop on a busy machine answers in less
START_TIMEOUT_S = 60.0  # beyond the start-up delay
DRAIN_GRACE_S = 2.0  # beyond the drain timeout, at which a worker gives up by itself and in order
KILL_AGAIN_S = 2.0  # SIGKILL cannot be refused, but a shell may have missed its moment
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 10.0
STABLE_AFTER_S = 10.0  # ready for so long: earlier deaths are forgiven,
FORGIVEN_AFTER_S = 30.0  # or no death for so long: more than the longest back-off and a start
SAME_MOMENT_S = 1.0  # deaths of ready workers so close together have one cause and count once
MAX_FAILED_STARTS = 5
NOT_WANTED = "no longer wanted"  # the one kill that is no fault
AWAY_S = 2.0  # nobody called for so long: we were stopped (Ctrl-Z, a starved machine), not the workers


class Phase(StrEnum):
    """Where a worker is, as the state machine sees it."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    DYING = "dying"  # killed, not yet reported gone


_SEEN_AS = {
    Phase.STARTING: WorkerState.STARTING,
    Phase.READY: WorkerState.READY,
    Phase.DRAINING: WorkerState.DRAINING,
    Phase.DYING: WorkerState.DRAINING,  # still paid for, takes no requests
}


@dataclass(slots=True)
class Worker:
    """One worker's state."""

    id: str
    slot: int
    delay_s: float
    born_s: float
    ready_at_s: float  # expected while starting; then when it was
    deadline_s: float
    check_at_s: float
    heard_s: float
    phase: Phase = Phase.STARTING
    since_s: float = 0.0
    was_ready: bool = False
    asking: bool = False  # a check or a probe is under way
    asked: bool = False  # its end was asked for
    in_flight: int = 0
    cached_tokens_per_s: float = 0.0

    @property
    def state(self) -> WorkerState:
        """As others see it."""
        return _SEEN_AS[self.phase]


@dataclass(slots=True)
class PoolLife:
    """All workers of one pool. `handle` is its only way in.

    Args:
        component: names the workers: `COMPONENT-1`, `COMPONENT-2`, never the same twice.
        max_replicas: never more than this are starting or ready, whatever is wanted.
    """

    component: str
    startup: StartupSpec
    drain_timeout_s: float
    max_replicas: int
    desired: int = 0
    gave_up: str | None = None
    deaths: int = 0
    slots: Slots = field(init=False)
    _workers: dict[str, Worker] = field(default_factory=dict)
    _born: int = 0
    _failed_starts: int = 0
    _last_failure_s: float = float("-inf")
    _deaths_in_a_row: int = 0
    _not_before_s: float = float("-inf")
    _called_s: float = 0.0

    def __post_init__(self) -> None:
        self.slots = Slots(self.startup)

    @property
    def workers(self) -> Sequence[Worker]:
        """All that are not gone yet, oldest first. To be read, not changed."""
        return tuple(self._workers.values())

    @property
    def ready(self) -> frozenset[str]:
        """Ids of the workers that may be sent requests."""
        return frozenset(worker.id for worker in self._workers.values() if worker.phase is Phase.READY)

    def handle(self, event: Event, now_s: float) -> list[Instruction]:
        """Take in what happened; return what to do, in this order. `now_s` never goes back between calls."""
        ready_before = self.ready
        self._forgive_absence(now_s)
        todo: list[Instruction] = []
        match event:
            case Want():
                self.desired = min(event.replicas, self.max_replicas)
            case Exited():
                todo += self._gone(event, now_s)
            case Checked() | Probed() | Measured():
                worker = self._workers.get(event.worker)
                if worker is not None:
                    todo += self._heard(worker, event, now_s)
            case Tick():
                pass
        todo += self._enforce_deadlines(now_s)
        todo += self._shrink(now_s)
        todo += self._grow(now_s)
        todo += self._checks_due(now_s)
        if self.ready != ready_before:
            todo.insert(0, Publish())
        return todo

    def _forgive_absence(self, now_s: float) -> None:
        """Shift what workers owe us by the time in which nobody here was listening."""
        away_s = now_s - self._called_s
        self._called_s = now_s
        if away_s > AWAY_S:
            for worker in self._workers.values():
                worker.heard_s += away_s
                worker.deadline_s += away_s

    def _heard(self, worker: Worker, event: Checked | Probed | Measured, now_s: float) -> list[Instruction]:
        if isinstance(event, Measured):
            worker.in_flight, worker.cached_tokens_per_s = event.in_flight, event.cached_tokens_per_s
            return []
        worker.asking = False
        if isinstance(event, Checked):
            if not event.healthy:
                return []
            worker.heard_s = now_s
            if worker.phase is Phase.STARTING:
                worker.asking = True
                return [Probe(worker=worker.id)]
        elif event.served and worker.phase is Phase.STARTING:
            worker.phase, worker.since_s, worker.heard_s = Phase.READY, now_s, now_s
            worker.ready_at_s, worker.check_at_s, worker.was_ready = now_s, now_s + CHECK_READY_EVERY_S, True
            self.slots.started(worker.slot, took_s=now_s - worker.born_s, delay_s=worker.delay_s)
            self._failed_starts = 0
        return []

    def _gone(self, event: Exited, now_s: float) -> list[Instruction]:
        worker = self._workers.pop(event.worker, None)
        if worker is None:
            return []
        self.slots.leave(worker.slot)
        if worker.asked:
            return []
        self.deaths += 1
        return self._failed(worker, event.how, now_s)

    def _failed(self, worker: Worker, how: str, now_s: float) -> list[Instruction]:
        """Count a death that nobody asked for. Starts of one generation, and ready ones of one moment, count once."""
        if now_s - self._last_failure_s < SAME_MOMENT_S if worker.was_ready else worker.born_s < self._last_failure_s:
            return [Died(worker=worker.id, how=how, again_in_s=max(0.0, self._not_before_s - now_s))]
        was_stable = worker.was_ready and now_s - worker.ready_at_s >= STABLE_AFTER_S
        if was_stable or now_s - self._last_failure_s >= FORGIVEN_AFTER_S:
            self._deaths_in_a_row = 0
        self._last_failure_s = now_s
        self._deaths_in_a_row += 1
        again_in_s = 0.0
        if self._deaths_in_a_row > 1:
            doublings = min(self._deaths_in_a_row - 2, 30)
            again_in_s = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2.0**doublings)
        self._not_before_s = now_s + again_in_s
        todo: list[Instruction] = [Died(worker=worker.id, how=how, again_in_s=again_in_s)]
        if not worker.was_ready:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS and self.gave_up is None and not self.ready:
                self.gave_up = f"{self.component}: {self._failed_starts} starts in a row failed; the last one: {how}"
                todo.append(PoolGaveUp(why=self.gave_up))
        return todo

    def _enforce_deadlines(self, now_s: float) -> list[Instruction]:
        todo: list[Instruction] = []
        for worker in self._workers.values():
            if worker.phase is Phase.READY:
                silent_s = now_s - worker.heard_s
                if silent_s >= SILENT_AFTER_S:
                    todo.append(self._kill(worker, f"no answer to health checks for {silent_s:.1f} s", now_s))
            elif now_s >= worker.deadline_s:
                why = {
                    Phase.STARTING: f"not ready {now_s - worker.born_s:.0f} s after its start",
                    Phase.DRAINING: f"still busy after {self.drain_timeout_s:g} s of draining",
                    Phase.DYING: "still there after a kill",
                }[worker.phase]
                todo.append(self._kill(worker, why, now_s))
        return todo

    def _kill(self, worker: Worker, why: str, now_s: float) -> Kill:
        if worker.phase is not Phase.DYING:
            worker.phase, worker.since_s = Phase.DYING, now_s
        worker.deadline_s = now_s + KILL_AGAIN_S
        return Kill(worker=worker.id, why=why)

    def _live(self) -> list[Worker]:
        return [worker for worker in self._workers.values() if worker.phase in (Phase.STARTING, Phase.READY)]

    def _shrink(self, now_s: float) -> list[Instruction]:
        live = self._live()
        surplus = max(0, len(live) - self.desired)
        todo: list[Instruction] = []
        for worker in sorted(live, key=_cost_of_stopping)[:surplus]:
            worker.asked = True
            if worker.phase is Phase.STARTING:  # holds no request
                todo.append(self._kill(worker, NOT_WANTED, now_s))
            else:
                worker.phase, worker.since_s = Phase.DRAINING, now_s
                worker.deadline_s = now_s + self.drain_timeout_s + DRAIN_GRACE_S
                todo.append(Drain(worker=worker.id))
        return todo

    def _grow(self, now_s: float) -> list[Instruction]:
        if self.gave_up is not None or now_s < self._not_before_s:
            return []
        todo: list[Instruction] = []
        room = 2 * self.max_replicas - len(self._workers)  # bounds processes, should none ever end
        for _ in range(min(self.desired - len(self._live()), room)):
            slot, delay_s = self.slots.take()
            self._born += 1
            worker = Worker(
                id=f"{self.component}-{self._born}",
                slot=slot,
                delay_s=delay_s,
                born_s=now_s,
                since_s=now_s,
                ready_at_s=now_s + delay_s + self.slots.overhead_s,
                deadline_s=now_s + delay_s + START_TIMEOUT_S,
                check_at_s=now_s + delay_s,
                heard_s=now_s,
            )
            self._workers[worker.id] = worker
            todo.append(Spawn(worker=worker.id, delay_s=delay_s))
        return todo

    def _checks_due(self, now_s: float) -> list[Instruction]:
        todo: list[Instruction] = []
        for worker in self._workers.values():
            if worker.asking or now_s < worker.check_at_s or worker.phase in (Phase.DRAINING, Phase.DYING):
                continue
            every_s = CHECK_STARTING_EVERY_S if worker.phase is Phase.STARTING else CHECK_READY_EVERY_S
            worker.check_at_s, worker.asking = now_s + every_s, True
            todo.append(Check(worker=worker.id))
        return todo


def _cost_of_stopping(worker: Worker) -> tuple[bool, float, float, float]:
    """Cheapest first: starting (the latest to be ready), then fewest requests, then least cache, then the youngest."""
    ready = worker.phase is Phase.READY
    return (
        ready,
        worker.in_flight if ready else -worker.ready_at_s,
        worker.cached_tokens_per_s,
        -worker.born_s,
    )
