"""The life of a pool's workers: by table for each rule, then by hypothesis against a world full of faults."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

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
from penstock.control.lifecycle import (
    AWAY_S,
    DRAIN_GRACE_S,
    FORGIVEN_AFTER_S,
    LONGEST_BACK_OFF_S,
    MAX_FAILED_STARTS,
    SILENT_AFTER_S,
    START_TIMEOUT_S,
    Phase,
    PoolLife,
)
from penstock.messages.engine_spec import StartupSpec

COLD_S, WARM_S, DRAIN_S = 4.0, 1.0, 20.0


def pool(max_replicas: int = 4) -> PoolLife:
    return PoolLife("w", StartupSpec(cold_s=COLD_S, warm_s=WARM_S), DRAIN_S, max_replicas)


def ids(todo: list[Instruction], kind: type) -> list[str]:
    return [instruction.worker for instruction in todo if isinstance(instruction, kind)]


@dataclass
class Shell:
    """Carries out instructions as a healthy machine would, a step of 0.25 s at a time."""

    life: PoolLife
    now_s: float = 0.0
    alive: dict[str, float] = field(default_factory=dict)  # id to when it answers
    draining: set[str] = field(default_factory=set)
    said: list[tuple[float, Instruction]] = field(default_factory=list)

    def tell(self, event: Event) -> list[Instruction]:
        todo = self.life.handle(event, self.now_s)
        self.said += [(self.now_s, instruction) for instruction in todo]
        for instruction in todo:
            self.carry_out(instruction)
        return todo

    def carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Spawn(worker=worker, delay_s=delay_s):
                self.alive[worker] = self.now_s + delay_s
            case Check(worker=worker):
                self.tell(Checked(worker=worker, healthy=self.now_s >= self.alive.get(worker, float("inf"))))
            case Probe(worker=worker):
                self.tell(Probed(worker=worker, served=worker in self.alive))
            case Drain(worker=worker):
                self.draining.add(worker)
            case Kill(worker=worker):
                self.die(worker)

    def die(self, worker: str) -> None:
        if self.alive.pop(worker, None) is not None:
            self.tell(Exited(worker=worker, how="killed"))

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            self.now_s += 0.25
            self.tell(Tick())

    def all_said(self, kind: type) -> list[Instruction]:
        return [instruction for _, instruction in self.said if isinstance(instruction, kind)]


def ready_pool(replicas: int, max_replicas: int = 4) -> Shell:
    shell = Shell(pool(max_replicas))
    shell.tell(Want(replicas=replicas))
    shell.pass_time(COLD_S + 1)
    assert len(shell.life.ready) == replicas
    return shell


def test_a_worker_is_ready_only_after_a_real_completion() -> None:
    life = pool()
    assert ids(life.handle(Want(replicas=1), 0.0), Spawn) == ["w-1"]
    assert ids(life.handle(Tick(), COLD_S), Check) == ["w-1"]
    assert life.handle(Checked(worker="w-1", healthy=True), COLD_S) == [Probe(worker="w-1")]
    assert not life.ready
    assert life.handle(Probed(worker="w-1", served=False), COLD_S + 0.1) == []
    assert not life.ready
    life.handle(Tick(), COLD_S + 1)
    life.handle(Checked(worker="w-1", healthy=True), COLD_S + 1)
    assert life.handle(Probed(worker="w-1", served=True), COLD_S + 1)[0] == Publish()
    assert life.ready == {"w-1"}


def test_the_first_start_in_a_slot_is_cold_and_the_next_is_warm() -> None:
    shell = ready_pool(1)
    shell.die("w-1")
    assert [spawn.delay_s for spawn in shell.all_said(Spawn)] == [COLD_S, WARM_S]


def test_lead_time_is_that_of_the_next_start_and_is_learned() -> None:
    life = pool()
    assert life.slots.lead_time_s > COLD_S
    shell = ready_pool(2)
    shell.die(ids(shell.tell(Want(replicas=1)), Drain)[0])
    assert (
        WARM_S <= shell.life.slots.lead_time_s <= WARM_S + 0.5
    )  # a warm slot is free, and starts were seen to be quick


def test_a_scale_down_stops_those_that_only_start_first() -> None:
    shell = ready_pool(1)
    shell.tell(Want(replicas=3))
    todo = shell.tell(Want(replicas=1))
    assert sorted(ids(todo, Kill)) == ["w-2", "w-3"]
    assert not ids(todo, Drain)


def test_a_scale_down_drains_the_worker_with_the_fewest_requests_then_the_least_cache() -> None:
    shell = ready_pool(3)
    shell.tell(Measured(worker="w-1", in_flight=2, cached_tokens_per_s=10))
    shell.tell(Measured(worker="w-2", in_flight=2, cached_tokens_per_s=5))
    shell.tell(Measured(worker="w-3", in_flight=3))
    assert ids(shell.tell(Want(replicas=2)), Drain) == ["w-2"]
    assert ids(shell.tell(Want(replicas=1)), Drain) == ["w-1"]


def test_a_draining_worker_leaves_the_list_before_it_is_told() -> None:
    shell = ready_pool(2)
    todo = shell.tell(Want(replicas=1))
    assert [type(instruction) for instruction in todo] == [Publish, Drain]


def test_a_drain_that_takes_too_long_ends_in_a_kill() -> None:
    shell = ready_pool(2)
    shell.tell(Want(replicas=1))
    shell.pass_time(DRAIN_S - 1)
    assert len(shell.life.workers) == 2
    shell.pass_time(1 + DRAIN_GRACE_S)
    assert [worker.phase for worker in shell.life.workers] == [Phase.READY]


def test_kill_9_during_scale_down_is_no_reason_to_restart() -> None:
    shell = ready_pool(2)
    drained = ids(shell.tell(Want(replicas=1)), Drain)[0]
    shell.die(drained)
    shell.pass_time(5)
    assert len(shell.life.workers) == 1
    assert not shell.all_said(Died)


def test_a_crashed_ready_worker_is_replaced_at_once() -> None:
    shell = ready_pool(2)
    shell.pass_time(20)
    shell.die("w-1")
    assert [worker.id for worker in shell.life.workers] == ["w-2", "w-3"]
    assert shell.all_said(Died)[0].again_in_s == 0


def test_all_workers_gone_at_once_are_all_replaced_at_once() -> None:
    shell = ready_pool(3)
    for worker in ("w-1", "w-2", "w-3"):
        shell.die(worker)
    assert [worker.phase for worker in shell.life.workers] == [Phase.STARTING] * 3
    shell.pass_time(COLD_S)
    assert len(shell.life.ready) == 3


def test_deaths_in_a_row_are_answered_with_a_bounded_back_off() -> None:
    shell = ready_pool(1)
    for _ in range(12):
        shell.pass_time(WARM_S + LONGEST_BACK_OFF_S + 1)
        for worker in shell.life.ready:
            # A worker that lives long enough to serve but not long enough to be called stable.
            shell.life._workers[worker].ready_at_s = shell.life._workers[worker].since_s = shell.now_s - 2
            shell.die(worker)
    waits = [died.again_in_s for died in shell.all_said(Died)]
    assert waits[:6] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert max(waits) == LONGEST_BACK_OFF_S
    assert shell.life.gave_up is None  # it did become ready each time


def test_a_pool_that_never_starts_gives_up_loudly_and_once() -> None:
    shell = Shell(pool())
    shell.tell(Want(replicas=2))
    for _ in range(400):
        for worker in list(shell.alive):
            shell.die(worker)
        shell.pass_time(0.5)
    assert len(shell.all_said(PoolGaveUp)) == 1
    assert str(MAX_FAILED_STARTS) in shell.life.gave_up
    assert not shell.life.workers


def test_a_pool_in_which_one_serves_keeps_trying_for_the_others_ever_more_slowly() -> None:
    """What stands in the way of a second one (memory, a port) may pass; that the spec is right, the first one shows."""
    shell = ready_pool(1)
    shell.tell(Want(replicas=2))
    for _ in range(240):
        for worker in set(shell.alive) - {"w-1"}:
            shell.die(worker)
        shell.pass_time(1)
    assert shell.life.gave_up is None
    waits = [died.again_in_s for died in shell.all_said(Died)]
    assert waits[:6] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert set(waits[6:]) == {LONGEST_BACK_OFF_S}
    shell.pass_time(LONGEST_BACK_OFF_S + COLD_S + 1)
    assert len(shell.life.ready) == 2


def test_deaths_far_apart_are_not_in_a_row() -> None:
    shell = ready_pool(2)
    for _ in range(5):
        shell.pass_time(FORGIVEN_AFTER_S)
        shell.die(max(shell.life.ready))
        shell.pass_time(WARM_S + 2)
    assert {died.again_in_s for died in shell.all_said(Died)} == {0.0}


def test_a_hung_worker_is_taken_off_the_list_killed_and_replaced() -> None:
    shell = ready_pool(1)
    shell.alive["w-1"] = float("inf")  # as SIGSTOP would have it
    shell.pass_time(SILENT_AFTER_S + 1.5)
    kinds = [type(instruction) for _, instruction in shell.said if not isinstance(instruction, Check)]
    assert kinds[-4:] == [Publish, Kill, Spawn, Died]
    shell.pass_time(COLD_S + 1)
    assert shell.life.ready == {"w-2"}


def test_a_worker_that_never_answers_at_start_is_killed_and_tried_again() -> None:
    shell = Shell(pool())
    shell.tell(Want(replicas=1))
    shell.alive["w-1"] = float("inf")
    shell.pass_time(COLD_S + START_TIMEOUT_S + 1)
    assert [worker.id for worker in shell.life.workers] == ["w-2"]
    assert shell.all_said(Died)


def test_a_supervisor_that_was_stopped_blames_itself_not_its_workers() -> None:
    shell = ready_pool(2)
    shell.now_s += 60.0 + AWAY_S
    shell.tell(Tick())
    shell.pass_time(2)
    assert not shell.all_said(Kill)
    assert len(shell.life.ready) == 2


def test_late_news_of_a_dead_worker_changes_nothing() -> None:
    shell = ready_pool(1)
    shell.die("w-1")
    for event in (
        Exited(worker="w-1", how="again"),
        Checked(worker="w-1", healthy=True),
        Probed(worker="w-1", served=True),
    ):
        assert shell.life.handle(event, shell.now_s) == []
    assert shell.life.deaths == 1


class FaultyWorld(RuleBasedStateMachine):
    """Workers crash, hang, and refuse to drain at any moment; wishes change at any moment."""

    max_replicas = 4

    @initialize()
    def begin(self) -> None:
        self.shell = FaultyShell(pool(self.max_replicas))
        self.ever: set[str] = set()

    @rule(replicas=st.integers(0, 9))
    def want(self, replicas: int) -> None:
        self.shell.tell(Want(replicas=replicas))

    @rule(quarters=st.integers(1, 40))
    def wait(self, quarters: int) -> None:
        self.shell.pass_time(quarters / 4)

    @rule(pick=st.integers(0, 9), fault=st.sampled_from(["crash", "hang", "finish"]))
    def fault(self, pick: int, fault: str) -> None:
        alive = sorted(self.shell.alive)
        if not alive:
            return
        worker = alive[pick % len(alive)]
        if fault == "hang":
            self.shell.alive[worker] = float("inf")
        elif fault == "crash" or worker in self.shell.draining:
            self.shell.die(worker)

    @rule(pick=st.integers(1, 50), served=st.booleans())
    def gossip(self, pick: int, served: bool) -> None:
        """Answers arrive late, twice, or for nobody."""
        self.shell.tell(Checked(worker=f"w-{pick}", healthy=False))
        if not served:
            self.shell.tell(Probed(worker=f"w-{pick}", served=False))

    @invariant()
    def never_more_than_max(self) -> None:
        live = [worker for worker in self.shell.life.workers if worker.phase in (Phase.STARTING, Phase.READY)]
        assert len(live) <= self.max_replicas
        assert len(self.shell.life.workers) <= 2 * self.max_replicas

    @invariant()
    def every_process_is_known_and_every_worker_has_one(self) -> None:
        assert {worker.id for worker in self.shell.life.workers} == set(self.shell.alive)

    @invariant()
    def ids_are_never_used_twice(self) -> None:
        spawned = ids([instruction for _, instruction in self.shell.said], Spawn)
        assert len(spawned) == len(set(spawned))

    def teardown(self) -> None:
        if not hasattr(self, "shell"):
            return
        shell = self.shell
        shell.pass_time(2 * (START_TIMEOUT_S + COLD_S) + DRAIN_S + LONGEST_BACK_OFF_S)  # faults have stopped
        phases = [worker.phase for worker in shell.life.workers]
        if shell.life.gave_up is None:
            assert phases == [Phase.READY] * shell.life.desired
        else:
            assert set(phases) <= {Phase.READY}


class FaultyShell(Shell):
    """Drains end only when somebody lets them, or by the deadline."""

    def pass_time(self, seconds: float) -> None:
        super().pass_time(seconds)
        self.draining &= set(self.alive)


FaultyWorld.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestFaultyWorld = FaultyWorld.TestCase
