"""The virtual cluster: how long replicas take, what is seen of them, and what it costs."""

from pathlib import Path

import pytest
from virtual_runs import TINY, Run, deployment, workload
from world_checks import look, want

from penstock.autoscale.policies import policy_for
from penstock.control.loop import Decisions, run
from penstock.errors import GiveUp
from penstock.messages.observation import Signal
from penstock.messages.spec import DeploymentBody
from penstock.simulator.clock import VirtualClock
from penstock.simulator.run import simulate
from penstock.simulator.world_spec import WorldSpec
from penstock.telemetry.journal import Journal, decision_line, read_history
from penstock.workload.arrival import Arrival

SIZE = "Standard_NC40ads_H100_v5"
PLANNED = {
    "name": "worker",
    "role": "worker",
    "gpu": {"vm_size": SIZE},
    "autoscaling": {"by": "planner", "min": 1, "max": 4, "cool_in_s": 10, "interval_s": 1},
}
AKS = {
    "node_pools": [
        {"vm_size": SIZE, "vm": {"mean_s": 70}, "driver": {"mean_s": 30}, "unneeded_s": 30, "delay_after_add_s": 30}
    ],
    "pod_start": {"image": {"mean_s": 10}, "weights": {"mean_s": 20}, "engine": {"mean_s": 20}},
}


def test_without_a_world_replicas_take_what_the_deployment_says() -> None:
    """Cold first, warm once its VM was there before; nothing is paid for in between."""
    run_ = Run(deployment(), [])
    assert look(run_, 1.9).pools[0].ready == 0
    assert look(run_, 2.1).pools[0].ready == 2
    want(run_, "worker", 1)
    assert look(run_, 5.0).pools[0].ready == 1
    want(run_, "worker", 2)
    seen = look(run_, 5.4).pools[0]
    assert (seen.ready, seen.starting) == (1, 1)
    assert look(run_, 5.6).pools[0].ready == 2


def test_on_a_node_pool_a_pod_waits_for_its_node_then_for_image_and_weights() -> None:
    """First 10 s until the scan, 100 s for the node, 50 s for a cold start; the next on that node takes 20 s."""
    spec = deployment({**PLANNED, "autoscaling": {"by": "external"}, "replicas": 1})
    run_ = Run(spec, [], world=WorldSpec.model_validate(AKS))
    assert look(run_, 159.0).pools[0].ready == 0
    assert look(run_, 161.0).pools[0].ready == 1
    want(run_, "worker", 0)
    assert look(run_, 170.0).pools[0].ready == 0
    want(run_, "worker", 1)
    assert look(run_, 189.0).pools[0].ready == 0
    assert look(run_, 191.0).pools[0].ready == 1


def test_the_lead_time_is_learnt_from_what_was_seen() -> None:
    """The spec's figure first, then that of the starts: waiting for a node and not are told apart."""
    spec = deployment({**PLANNED, "autoscaling": {"by": "external"}, "replicas": 1})
    run_ = Run(spec, [], world=WorldSpec.model_validate(AKS))
    assert look(run_, 1.0).pools[0].signals[Signal.LEAD_TIME].value == TINY["startup"]["cold_s"]  # type: ignore[index]
    assert look(run_, 200.0).pools[0].signals[Signal.LEAD_TIME].value == pytest.approx(160.0)
    want(run_, "worker", 0)
    want(run_, "worker", 1)
    look(run_, 250.0)
    want(run_, "worker", 0)
    assert look(run_, 251.0).pools[0].signals[Signal.LEAD_TIME].value == pytest.approx(20.0)


def planned() -> DeploymentBody:
    return deployment(PLANNED)


def test_the_planner_follows_the_load_and_nothing_is_lost() -> None:
    """It goes up with the load and down after it; all requests are served and what was paid for is accounted."""
    arrivals = [*workload(3, 200, rate=4.0, from_s=5.0), *workload(4, 400, rate=25.0, from_s=60.0)]
    arrivals.append(Arrival(140.0, 10, 2))
    result = simulate(planned(), iter(sorted(arrivals, key=lambda arrival: arrival.arrival_s))).result
    assert result.requests.completed == len(arrivals)
    assert result.replicas is not None
    counts = [desired for _, desired, _ in result.replicas["worker"]]
    assert max(counts) > 1
    assert counts[-1] < max(counts)
    assert result.gpu_hours is not None
    paid_for = result.gpu_hours.serving + result.gpu_hours.starting + result.gpu_hours.draining
    assert result.gpu_hours.total == pytest.approx(paid_for)
    assert result.cost_usd == pytest.approx(result.gpu_hours.total * 6.98)


def test_a_sleeping_pool_wakes_the_second_that_somebody_waits_as_it_does_live() -> None:
    """Whatever its interval; and sleeps again when nobody does."""
    scaling = {"by": "planner", "min": 0, "max": 2, "intervalSeconds": 60, "coolInSeconds": 60}
    spec = deployment(PLANNED | {"autoscaling": scaling, "replicas": 0})
    arrivals = [Arrival(at_s, 10, 2) for at_s in (71.5, 400.5)]
    result = simulate(spec, iter(arrivals)).result
    assert result.requests.completed == len(arrivals)
    assert result.replicas is not None
    moves = [(at_s, desired) for at_s, desired, _ in result.replicas["worker"]]
    asked = [
        (at_s, desired) for (at_s, desired), (_, before) in zip(moves[1:], moves, strict=False) if desired != before
    ]
    assert [move for move in asked if move[1] == 1] == [(73.0, 1), (402.0, 1)]  # decided at 72 and 401
    assert [desired for _, desired in asked][:3] == [1, 0, 1]


def test_the_same_seed_gives_the_same_bytes_and_the_history_the_same_decisions(tmp_path: Path) -> None:
    """Twice the same run; and the decision code alone, fed what was seen, writes the same lines."""
    world = WorldSpec.model_validate({**AKS, "pod_start": {"engine": {"mean_s": 20, "cv": 0.5}}})
    for name in ("first", "second"):
        journal = Journal(tmp_path / name)
        simulate(planned(), iter(workload(5, 300, rate=5.0)), world=world, seed=7, listeners=[journal])
        journal.close()
    for file in ("decisions.jsonl", "history.jsonl"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    decisions = Decisions.of(planned())
    again = [
        decision_line(work())
        for observation in read_history(tmp_path / "first" / "history.jsonl")
        for work in decisions.due(observation)
    ]
    assert b"".join(again) == (tmp_path / "first" / "decisions.jsonl").read_bytes()


def test_another_seed_draws_other_delays() -> None:
    """Else the seed would be an option that does nothing."""
    world = WorldSpec.model_validate({**AKS, "pod_start": {"engine": {"mean_s": 20, "cv": 0.5}}})
    ready = {
        str(simulate(planned(), iter(workload(5, 50)), world=world, seed=seed).result.replicas) for seed in range(3)
    }
    assert len(ready) == 3


def test_what_a_slow_scrape_shows_is_old() -> None:
    """With a scrape every 15 s a look between two of them sees signals of their age."""
    world = WorldSpec.model_validate({"metrics": {"scrape_s": 15}})
    run_ = Run(deployment(), workload(6, 400, rate=10.0), world=world)
    for at_s in range(1, 38):
        observation = look(run_, float(at_s))
    assert observation.pools[0].signals[Signal.QUEUE].age_s == pytest.approx(7.0)


def test_a_backlog_without_bound_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, rather than go on for ever."""
    monkeypatch.setattr("penstock.simulator.run.MAX_BACKLOG", 500)
    with pytest.raises(GiveUp, match="unanswered and more come than leave"):
        simulate(deployment(), iter(workload(8, 5000, rate=500.0)))


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param("penstock.simulator.dispatch.Dispatch.route", marks=pytest.mark.interpreted),
        "penstock.simulator.seen._worker_seen",
    ],
)
def test_what_the_world_raises_ends_the_run(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """The live loop leaves a bad second behind; here the same fault would come again for ever."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(broken, fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        simulate(deployment(), iter(workload(8, 5)))


def test_what_a_policy_raises_ends_the_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result without its decisions would be another deployment's."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    spec = planned()
    policy = policy_for(spec, spec.pools[0])
    monkeypatch.setattr(type(policy), "decide", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        simulate(spec, iter(workload(8, 5)), policies={spec.pools[0].name: policy})


def test_the_loop_is_the_live_one(tmp_path: Path) -> None:
    """`control.loop.run` over the cluster in virtual time: what `penstock up` runs over processes."""
    clock = VirtualClock()
    run_ = Run(planned(), workload(9, 100))
    journal = Journal(tmp_path)
    clock.run(run(run_.cluster, Decisions.of(planned()), clock, [journal], until_s=20.0))
    journal.close()
    assert len((tmp_path / "decisions.jsonl").read_bytes().splitlines()) == 20
