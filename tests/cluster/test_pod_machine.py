"""A pod's life on the process kubelet, without any process."""

import math
import signal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubelet.container import Container
from kubelet.pod_machine import (
    LIVENESS,
    MAX_BACKOFF_S,
    READINESS,
    STARTUP,
    Delete,
    Exited,
    Finish,
    HookDone,
    Launched,
    PodMachine,
    RunHook,
    Send,
    Start,
    State,
    Verdict,
)
from kubelet.pod_status import pod_status
from kubelet.probe import HttpGet, Probe, ProbeCount, Sleep

PROBE = Probe(HttpGet("http://10.77.0.1:80/"))
TERM, KILL = Send("main", signal.SIGTERM), Send("main", signal.SIGKILL)


def machine(container: Container | None = None, **given: object) -> PodMachine:
    settings = {"restart_policy": "Always", "grace_s": 30.0} | given
    return PodMachine([container or Container("main", ("serve",), {})], **settings)


def launched(container: Container | None = None, **given: object) -> PodMachine:
    made = machine(container, **given)
    assert made.handle(None, now_s=0) == [Start("main")]
    made.handle(Launched("main"), now_s=0)
    return made


def status(made: PodMachine) -> dict:
    pod = {"spec": {"containers": [{"name": "main"}]}}
    return pod_status(pod, made, pod_ip="10.77.0.1", host_ip="10.77.0.2", began_at_s=0, now_s=100)


def condition(made: PodMachine, kind: str) -> str:
    return next(one["status"] for one in status(made)["conditions"] if one["type"] == kind)


def test_a_deletion_runs_the_hook_then_asks_then_kills() -> None:
    """The hook spends the grace period; what is left of it is SIGTERM's; then SIGKILL, then the pod is taken away."""
    made = launched(Container("main", ("serve",), {}, pre_stop=Sleep(5)))
    assert made.handle(Delete(30), now_s=10) == [RunHook("main")]
    assert made.handle(HookDone("main"), now_s=15) == [TERM]
    assert made.wake_at_s == 40
    assert made.handle(None, now_s=39.9) == []
    assert made.handle(None, now_s=40) == [KILL]
    assert made.handle(Exited("main", 137), now_s=40.1) == [Finish()]
    assert status(made)["phase"] == "Failed"


def test_a_hook_that_outlasts_the_grace_period_leaves_two_seconds() -> None:
    """SIGTERM when the period is over, SIGKILL 2 s later."""
    made = launched(Container("main", ("serve",), {}, pre_stop=Sleep(100)))
    made.handle(Delete(30), now_s=0)
    assert made.handle(None, now_s=30) == [TERM]
    assert made.handle(None, now_s=31.9) == []
    assert made.handle(None, now_s=32) == [KILL]


def test_a_second_deletion_can_only_shorten_the_first() -> None:
    """`kubectl delete --now` after a patient one."""
    made = launched()
    made.handle(Delete(300), now_s=0)
    made.handle(Delete(5), now_s=10)
    assert made.wake_at_s == 15
    made.handle(Delete(100), now_s=11)
    assert made.wake_at_s == 15


def test_a_pod_deleted_while_it_starts_is_stopped_as_soon_as_it_runs() -> None:
    """No process is left behind by the race."""
    made = machine()
    made.handle(None, now_s=0)
    assert made.handle(Delete(30), now_s=1) == []
    assert made.handle(Launched("main"), now_s=2) == [TERM]


def test_restarts_back_off_and_forget_after_ten_minutes_of_peace() -> None:
    """At once, then 10 s, 20 s, ... up to 300 s; after 600 s of running at once again."""
    made, now_s, waits = launched(), 0.0, []
    for _ in range(8):
        done = made.handle(Exited("main", 1), now_s=now_s)
        waits.append(0.0 if done else made.wake_at_s - now_s)
        if not done:
            assert status(made)["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            assert made.handle(None, now_s=now_s + waits[-1] - 0.1) == []
            now_s += waits[-1]
            assert made.handle(None, now_s=now_s) == [Start("main")]
        made.handle(Launched("main"), now_s=now_s)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]
    assert made.handle(Exited("main", 1), now_s=now_s + 2 * MAX_BACKOFF_S + 1) == [Start("main")]
    assert status(made)["containerStatuses"][0]["restartCount"] == 9


def test_liveness_ends_a_container_and_the_restart_policy_brings_it_back() -> None:
    """With its own grace period, if the probe has one."""
    patient = Container("main", ("serve",), {}, liveness=Probe(PROBE.action, termination_grace_s=3))
    made = launched(patient)
    assert made.handle(Verdict("main", LIVENESS, False), now_s=20) == [TERM]
    assert made.handle(None, now_s=23) == [KILL]
    assert made.handle(Exited("main", 137), now_s=23) == [Start("main")]


def test_ready_needs_the_startup_and_the_readiness_probe() -> None:
    """And goes when readiness fails, without a restart."""
    made = launched(Container("main", ("serve",), {}, startup=PROBE, readiness=PROBE))
    made.handle(Verdict("main", READINESS, True), now_s=1)
    assert condition(made, "Ready") == "False"
    made.handle(Verdict("main", STARTUP, True), now_s=2)
    assert condition(made, "Ready") == "True"
    assert made.handle(Verdict("main", READINESS, False), now_s=3) == []
    assert condition(made, "Ready") == "False"
    assert made.containers["main"].state == State.RUNNING


def test_a_pod_without_restarts_says_how_it_ended() -> None:
    """Phase by exit codes."""
    for code, phase in ((0, "Succeeded"), (3, "Failed")):
        made = launched(restart_policy="Never")
        assert made.handle(Exited("main", code), now_s=5) == []
        assert status(made)["phase"] == phase
        assert status(made)["containerStatuses"][0]["state"]["terminated"]["exitCode"] == code
    assert launched(restart_policy="OnFailure").handle(Exited("main", 1), now_s=5) == [Start("main")]


def test_a_probe_needs_as_many_results_in_a_row_as_its_threshold() -> None:
    """A single other result begins the run anew."""
    counted = ProbeCount(Probe(PROBE.action, success_threshold=2, failure_threshold=3))
    assert [counted.count(passed) for passed in (False, False, True, False, False, False, True, True)] == [
        None, None, None, None, None, False, None, True,
    ]  # fmt: skip


EIGHTHS_S = st.integers(0, 480).map(lambda n: n / 8)  # exact, so that sums are
EVENTS = st.one_of(
    st.sampled_from([None, "exit", "launch"]),
    st.builds(Verdict, st.just("main"), st.sampled_from([STARTUP, READINESS, LIVENESS]), st.booleans()),
    st.just(HookDone("main")),
    st.builds(Delete, EIGHTHS_S),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(
    st.lists(st.tuples(EVENTS, EIGHTHS_S), max_size=20),
    st.sampled_from(["Always", "OnFailure", "Never"]),
    st.booleans(),
)
def test_whatever_happens_one_process_runs_at_most_and_a_deletion_ends(events: list, policy: str, hook: bool) -> None:
    """A process is started only when none runs, signalled only while it runs; a deleted pod ends within its grace."""
    container = Container("main", ("serve",), {}, readiness=PROBE, pre_stop=Sleep(9) if hook else None)
    made, now_s, asked, runs, finished = machine(container, restart_policy=policy), 0.0, 0, False, 0

    def follow(event: object) -> None:
        nonlocal asked, finished
        for done in made.handle(event, now_s=now_s):  # type: ignore[arg-type]
            if isinstance(done, Start):
                assert not runs
                assert not asked
                assert not made.deleting
                asked += 1
            elif isinstance(done, Finish):
                assert not runs
                assert made.deleting
                finished += 1
            else:
                assert runs
        status(made)

    follow(None)
    for event, wait_s in [*events, (Delete(30), 0.0)]:
        now_s += wait_s
        if event == "launch":
            if asked:
                asked, runs = 0, True
                follow(Launched("main"))
        elif event == "exit":
            if runs or asked:
                asked, runs = 0, False
                follow(Exited("main", 1))
        else:
            follow(event)
    if asked:
        asked, runs = 0, True
        follow(Launched("main"))
    began_s = now_s
    while runs and not math.isinf(made.wake_at_s):
        now_s = max(made.wake_at_s, now_s)
        follow(None)
    assert now_s - began_s <= 30 + 2
    if runs:
        assert made.containers["main"].sent == signal.SIGKILL
        runs = False
        follow(Exited("main", 137))
    assert finished == 1
