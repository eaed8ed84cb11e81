"""What fails, and what becomes of it: no request is lost from sight, pods come back, nodes are replaced."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_runs import TINY, Run, deployment, workload
from world_checks import check_world, look, want

from penstock.errors import InputError
from penstock.messages.outcome import Ending
from penstock.simulator.pods import Pod, PodState
from penstock.simulator.world_spec import WorldSpec
from penstock.workload.arrival import Arrival

SIZE = "Standard_NC40ads_H100_v5"
PAIR = "Standard_NC80adis_H100_v5"
QUICK = {
    "vm": {"mean_s": 8, "cv": 0.3},
    "driver": {"mean_s": 2},
    "scan_s": 1,
    "unneeded_s": 20,
    "delay_after_add_s": 5,
    "back_off_s": 5,
}
START = {"image": {"mean_s": 2}, "weights": {"mean_s": 2}, "engine": {"mean_s": 1, "cv": 0.2, "distribution": "normal"}}
APART = (
    {"name": "prefill", "role": "prefill", "replicas": 2, "gpu": {"vm_size": PAIR}},
    {"name": "decode", "role": "decode", "replicas": 3, "gpu": {"vm_size": PAIR}},
)


def two_workers(**world: Any) -> WorldSpec:
    pool = {"vm_size": SIZE, **QUICK}
    return WorldSpec.model_validate({"node_pools": [pool], "pod_start": START, "running": True, **world})


def on_nodes(replicas: int = 2) -> dict[str, Any]:
    return {"name": "worker", "role": "worker", "replicas": replicas, "gpu": {"vm_size": SIZE}}


def test_before_its_first_token_a_request_goes_to_another_worker_and_after_it_is_failed() -> None:
    """As the gateway has it: a stream that was cut cannot be told again."""
    arrivals = [Arrival(1.0, 64, 200), Arrival(1.0, 64, 200), *(Arrival(2.0, 64, 5) for _ in range(12))]
    run = Run(deployment(on_nodes()), arrivals, world=two_workers()).to(2.001)
    serving = run.cluster.serving
    had = {id_: list(worker.requests) for id_, worker in serving.workers.items()}
    victim = serving.workers["worker-1"]
    streaming = [number for number in victim.requests if serving.flights[number].first_at >= 0]
    assert streaming
    assert len(had["worker-1"]) > len(streaming)
    serving.at(serving.now, lambda: serving.kill("worker-1"))
    run.to(2.002)
    assert [int(outcome.id) for outcome in run.outcomes] == streaming
    assert all(outcome.ending is Ending.FAILED for outcome in run.outcomes)
    assert set(serving.workers["worker-2"].requests) == {*had["worker-2"], *had["worker-1"]} - set(streaming)
    run.to(60)
    assert Counter(outcome.ending for outcome in run.outcomes) == {
        Ending.FAILED: len(streaming),
        Ending.COMPLETED: 14 - len(streaming),
    }
    assert run.records.counters.retries == len(had["worker-1"]) - len(streaming)


def test_a_worker_may_be_lost_at_the_very_instant_of_a_step() -> None:
    """That step's token is out, so the stream is cut; nothing more comes of the worker."""
    run = Run(deployment(on_nodes(1)), [Arrival(1.0, 64, 50)], world=two_workers()).to(1.0)
    serving = run.cluster.serving
    (worker,) = serving.workers.values()
    assert worker.due is not None
    serving.at(worker.due, lambda: serving.kill("worker-1"))
    run.to(5.0)
    assert [outcome.ending for outcome in run.outcomes] == [Ending.FAILED]
    assert run.records.counters.output_tokens == 1


def test_what_came_before_the_loss_has_reached_the_client() -> None:
    """Tokens of a burst under way count up to that instant."""
    run = Run(deployment(on_nodes(1)), [Arrival(1.0, 16, 500)], world=two_workers()).to(1.5)
    serving = run.cluster.serving
    serving.at(serving.now, lambda: serving.kill("worker-1"))
    run.to(1.5 + 1e-6)
    first_s, step_s = 0.01 + 16e-4, 0.01 + 1e-3 + 16e-6
    assert run.records.counters.output_tokens == pytest.approx(1 + (0.5 - first_s) / step_s, abs=1.5)


def test_a_request_that_kills_every_worker_is_given_up_after_as_many_as_the_gateway_would_try() -> None:
    """Three deliveries: one that kills engines must not take a deployment down."""
    run = Run(deployment(on_nodes(5)), [Arrival(1.0, 600, 5)], world=two_workers()).to(1.0)
    serving = run.cluster.serving
    for killed in range(1, 4):
        assert not run.outcomes
        (holder,) = (worker.id for worker in serving.workers.values() if worker.requests)
        serving.at(serving.now, lambda holder=holder: serving.kill(holder))
        run.to(1.0 + killed * 1e-6)
    assert [outcome.ending for outcome in run.outcomes] == [Ending.FAILED]
    assert len(serving.workers) == 2
    assert serving.router.in_flight == 0


@pytest.mark.parametrize("lost", ["prefill", "decode"])
def test_kv_on_its_way_is_computed_again_where_it_can_be(lost: str) -> None:
    """The decode worker does it alone if prefill is lost, another pair if it is lost itself; nothing is failed."""
    slow = {**TINY, "kv_transfer": {"latency_s": 2.0, "tokens_per_second": 1000.0}}
    pools = ({"name": "prefill", "role": "prefill"}, {"name": "decode", "role": "decode", "replicas": 2})
    run = Run(deployment(*({**pool, "engine": slow} for pool in pools)), [Arrival(5.0, 50, 3)]).to(5.5)
    serving = run.cluster.serving
    (victim,) = (w.id for w in serving.workers.values() if w.component == lost and w.requests)
    serving.at(serving.now, lambda: serving.kill(victim))
    run.to(60)
    assert [outcome.ending for outcome in run.outcomes] == [Ending.COMPLETED]
    assert run.records.counters.retries == 1
    assert serving.router.in_flight == 0
    for worker in serving.workers.values():
        assert not worker.requests
        assert not worker.engine.pinned


def test_a_crashed_worker_starts_again_on_its_node_with_kubelets_back_off() -> None:
    """At once, then after 10 s, 20 s and so on, up to five minutes; what ran for ten minutes starts from nothing."""
    pod = Pod("w-1", "w", 1, 0.0)
    assert [pod.crashed(float(at_s)) for at_s in (0, 100, 200, 300, 400, 500, 800)] == [0, 10, 20, 40, 80, 160, 300]
    assert pod.crashed(801 + 300 + 600.0) == 0.0
    world = two_workers(failures={"at": [{"seconds": 10, "worker": "worker"}, {"seconds": 20, "worker": "worker"}]})
    run = Run(deployment(on_nodes(1)), [], world=world)
    nodes = run.cluster.pools["worker"].nodes
    assert look(run, 9.9).pools[0].ready == 1
    assert look(run, 10.1).pools[0].ready == 0
    seen = look(run, 12.0)
    assert (seen.pools[0].ready, [worker.id for worker in seen.pools[0].workers]) == (1, ["worker-1"])
    assert look(run, 29.9).pools[0].starting == 1
    assert look(run, 32.0).pools[0].ready == 1
    assert list(nodes.nodes) == [1]


def test_a_lost_node_is_noticed_late_and_replaced_by_the_autoscaler() -> None:
    """Its worker is gone at once, its pod is made anew once somebody notices, on a node that must be bought first."""
    world = two_workers(failures={"node_noticed_s": 30, "at": [{"seconds": 10, "node": SIZE}]})
    run = Run(deployment(on_nodes(2)), [], world=world)
    assert look(run, 9.9).pools[0].ready == 2
    seen = look(run, 10.1)
    assert (seen.pools[0].ready, seen.pools[0].starting, seen.nodes[0].cordoned) == (1, 1, 1)
    assert len(run.cluster.serving.workers) == 1
    assert len(run.cluster.serving.router.workers) == 1
    seen = look(run, 39.9)
    assert {worker.id for worker in seen.pools[0].workers} == {"worker-1", "worker-2"}
    seen = look(run, 42.1)
    assert (seen.nodes[0].cordoned, seen.nodes[0].provisioning, seen.pools[0].starting) == (0, 1, 1)
    seen = look(run, 80.0)
    assert seen.pools[0].ready == 2
    assert "worker-3" in {worker.id for worker in seen.pools[0].workers}


def test_under_maintenance_a_node_is_cordoned_its_pod_drains_and_another_takes_over() -> None:
    """No request is lost by it, and the old node is gone once its last token is out."""
    world = two_workers(node_pools=[{"vm_size": SIZE, **QUICK, "maintenance_s": [10]}])
    run = Run(deployment(on_nodes(1)), [Arrival(9.5, 10, 400)], world=world)
    seen = look(run, 10.1)
    assert (seen.pools[0].draining, seen.pools[0].starting, seen.nodes[0].cordoned) == (1, 1, 1)
    seen = look(run, 60.0)
    assert (seen.pools[0].ready, seen.pools[0].draining) == (1, 0)
    assert list(run.cluster.pools["worker"].nodes.nodes) == [2]
    assert [outcome.ending for outcome in run.outcomes] == [Ending.COMPLETED]


def test_a_drain_that_takes_too_long_is_cut_short() -> None:
    """After the engine's drain timeout, to the instant: what streams then fails, and the GPU is free."""
    pool = {**on_nodes(), "engine": {**TINY, "drain_timeout_s": 1.5, "max_model_len": 600}}
    run = Run(deployment(pool), [Arrival(1.0, 64, 500), Arrival(1.0, 64, 500)], world=two_workers()).to(2.0)
    replicas, workers = run.cluster.pools["worker"], run.cluster.serving.workers
    assert [len(worker.requests) for worker in workers.values()] == [1, 1]
    want(run, "worker", 1)
    run.to(3.49)
    assert (len(replicas.pods.in_state(PodState.DRAINING)), run.outcomes) == (1, [])
    run.to(3.51)
    assert not replicas.pods.in_state(PodState.DRAINING)
    assert [outcome.ending for outcome in run.outcomes] == [Ending.FAILED]
    assert len(run.to(60).outcomes) == 2
    assert run.outcomes[1].ending is Ending.COMPLETED


@pytest.mark.parametrize(
    ("failure", "complaint"),
    [
        ({"seconds": 1, "worker": "workr"}, r"spec.failures.at\[0\].worker: no 'workr' there; did you mean worker"),
        (
            {"seconds": 1, "node": "Standard_X"},
            r"spec.failures.at\[0\].node: no 'Standard_X' there; this deployment has",
        ),
    ],
)
def test_a_failure_of_what_is_not_there_is_an_input_error(failure: dict[str, Any], complaint: str) -> None:
    """With what would be right."""
    with pytest.raises(InputError, match=complaint):
        Run(deployment(on_nodes()), [], world=two_workers(failures={"at": [failure]}))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_whatever_fails_every_request_ends_once_and_no_gpu_is_held_twice(seed: int, apart: bool, shared: bool) -> None:
    """Crashes, lost nodes, maintenance, preemption and scaling at random: the books of requests and GPUs stay right."""
    draw = random.Random(seed)
    pools = APART if apart else ({**on_nodes(3), "gpu": {"vm_size": PAIR}},)
    nodes = {
        "vm_size": PAIR,
        **QUICK,
        "min_nodes": draw.randint(0, 1),
        "max_nodes": draw.randint(2, 6),
        "deallocate": draw.random() < 0.5,
        "prefetch": draw.choice(["nothing", "image", "weights"]),
        "placeholders": {"count": draw.randint(0, 2), "gpus": draw.choice([1, 2]), "leave_s": 0.5},
        "maintenance_s": [draw.uniform(0, 60) for _ in range(draw.randint(0, 2))],
    }
    failures = {
        "worker_mean_hours": draw.choice([None, 10 / 3600]),
        "node_mean_hours": draw.choice([None, 40 / 3600]),
        "node_noticed_s": draw.choice([0, 5]),
        "at": [
            {"seconds": draw.uniform(0, 40), "node": PAIR},
            {"seconds": draw.uniform(0, 40), "worker": pools[0]["name"]},
        ],
    }
    world = {"pod_start": START, "failures": failures, "running": draw.random() < 0.5}
    arrivals = workload(seed, count=150, rate=8.0)
    run = Run(
        deployment(*pools, routing={"hold_timeout_s": 30}),
        arrivals,
        world=WorldSpec.model_validate({**world, **({"node_pools": [nodes]} if shared else {})}),
        seed=seed,
    )
    for second in range(1, 200):
        check_world(run, look(run, float(second)))
        if draw.random() < 0.2:
            want(run, draw.choice(pools)["name"], draw.randint(0, 4))
    look(run, 3000.0)
    assert Counter(outcome.id for outcome in run.outcomes) == Counter(str(number) for number in range(len(arrivals)))
    serving = run.cluster.serving
    assert serving.exhausted
    assert serving.router.in_flight == 0
    counts = run.records.summary.result().requests
    assert counts.offered == counts.completed + counts.rejected + counts.failed == len(arrivals)
    for worker in serving.workers.values():
        worker.engine.check()
        assert not worker.requests
        assert worker.engine.idle


def test_the_same_seed_fails_the_same_and_another_seed_otherwise() -> None:
    """Failures have a stream of their own."""
    world = two_workers(failures={"worker_mean_hours": 0.005, "node_mean_hours": 0.02})

    def endings(seed: int) -> list[str]:
        run = Run(deployment(on_nodes()), workload(3, 200, rate=4.0), world=world, seed=seed).to(100)
        return [f"{outcome.id} {outcome.ending} {outcome.e2e_s}" for outcome in run.outcomes]

    assert endings(1) == endings(1) != endings(2)


def test_what_fails_at_a_rate_fails_about_so_often() -> None:
    """Eight workers with a mean of 100 s crash some 80 times in 1000 s, less what they take to come back."""
    world = two_workers(failures={"worker_mean_hours": 100 / 3600})
    run = Run(deployment(on_nodes(8)), [], world=world)
    look(run, 1000.0)
    crashes = sum(pod.crashes for pod in run.cluster.pools["worker"].pods.by_id.values())
    assert 40 < crashes < 90
