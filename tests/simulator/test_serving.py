"""Requests through router and engines in virtual time: nothing lost, gaps exact, holding, hand-over, drain."""

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_runs import TINY, Run, deployment, workload

from penstock.engine.timeline import Moment, Timeline
from penstock.messages.outcome import Ending
from penstock.simulator import virtual_worker
from penstock.workload.arrival import Arrival

APART = (
    {"name": "prefill", "role": "prefill", "replicas": 1},
    {"name": "decode", "role": "decode", "replicas": 2},
)


@pytest.mark.parametrize("pools", [(), APART], ids=["aggregated", "apart"])
@pytest.mark.parametrize("seed", range(6))
def test_every_request_ends_once(pools: tuple[dict[str, object], ...], seed: int) -> None:
    """Offered is completed plus rejected plus failed, whatever the engines preempt; and nothing stays behind."""
    arrivals = workload(seed)
    run = Run(deployment(*pools), arrivals).to(300)
    assert Counter(outcome.id for outcome in run.outcomes) == Counter(str(n) for n in range(len(arrivals)))
    assert all(outcome.ending is Ending.COMPLETED for outcome in run.outcomes)
    serving = run.cluster.serving
    assert serving.exhausted
    assert serving.router.in_flight == 0
    for worker in serving.workers.values():
        worker.engine.check()
        assert not worker.requests
        assert worker.engine.idle
        assert worker.engine.pinned == 0


@pytest.mark.interpreted
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 40))
def test_gaps_of_a_request_are_those_that_its_tokens_had(seed: int, rate: float) -> None:
    """Counting steps gives for every request what noting the instant of every token gives, preemptions included."""
    times: dict[int, list[int]] = {}
    plain_finish = Timeline.finish

    def finish(timeline: Timeline) -> Moment:
        tokens = timeline.engine.producing()
        moment = plain_finish(timeline)
        for number in tokens:
            times.setdefault(number, []).append(moment.at)
        return moment

    def single_steps(*args: object, **kwargs: object) -> Timeline:
        return Timeline(*args, **{**kwargs, "burst": False})  # type: ignore[arg-type]

    arrivals = workload(seed, count=25, rate=rate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(virtual_worker, "Timeline", single_steps)
        patch.setattr(Timeline, "finish", finish)
        run = Run(deployment(), arrivals)
        run.to(300)
    bursts = Run(deployment(), arrivals).to(300)
    limit = round(0.05 * 10**12)
    late = sum(b - a > limit for at in times.values() for a, b in pairwise(at))
    gaps = sum(len(at) - 1 for at in times.values())
    for each in (run, bursts):
        summary = each.records.summary
        assert sum(window.gaps for window in summary.windows) == gaps
        assert sum(window.gaps - window.gaps_within for window in summary.windows) == late
    assert [o.e2e_s for o in run.outcomes] == [o.e2e_s for o in bursts.outcomes]


def test_a_request_that_finds_no_worker_is_held_until_one_is_ready() -> None:
    """The first worker is ready after its cold start; then those who came before are served in their order."""
    run = Run(deployment(), [Arrival(0.1, 10, 5), Arrival(0.2, 10, 5)])
    run.to(1.9)
    assert len(run.cluster.serving.held) == 2
    run.to(10)
    assert [outcome.id for outcome in run.outcomes] == ["0", "1"]
    assert run.outcomes[0].ttft_s is not None
    assert 1.9 < run.outcomes[0].ttft_s < 2.1


def test_holding_is_bounded_in_number_and_time() -> None:
    """Beyond the number a request is rejected at once, beyond the time when that is up."""
    spec = deployment(
        {"name": "worker", "role": "worker", "replicas": 0, "autoscaling": {"by": "planner", "min": 0, "max": 1}},
        routing={"max_held_requests": 2, "hold_timeout_s": 5},
    )
    run = Run(spec, [Arrival(1.0, 10, 5), Arrival(2.0, 10, 5), Arrival(3.0, 10, 5)])
    run.to(3.5)
    assert [(o.id, o.ending) for o in run.outcomes] == [("2", Ending.REJECTED)]
    run.to(6.5)
    assert [o.id for o in run.outcomes] == ["2", "0"]
    run.to(20)
    assert [o.ending for o in run.outcomes] == [Ending.REJECTED] * 3


def test_a_prompt_that_can_never_fit_fails_alone() -> None:
    """The others go on."""
    run = Run(deployment(), [Arrival(3.0, 10, 5), Arrival(3.1, 5000, 5), Arrival(3.2, 10, 5)]).to(30)
    assert {o.id: o.ending for o in run.outcomes} == {
        "0": Ending.COMPLETED,
        "1": Ending.FAILED,
        "2": Ending.COMPLETED,
    }


def test_a_hand_over_takes_the_time_of_the_transfer() -> None:
    """First token = prefill step + latency + tokens over rate + one decode step; the blocks are pinned meanwhile."""
    engine = {"kv_transfer": {"latency_s": 1.0, "tokens_per_second": 100.0}}
    pools = tuple({**pool, "engine": {**TINY, **engine}} for pool in APART)
    run = Run(deployment(*pools), [Arrival(5.0, 50, 3)])
    run.to(5.5)
    (prefill,) = (w for w in run.cluster.serving.workers.values() if w.component == "prefill")
    assert prefill.engine.pinned == 1
    run.to(30)
    assert prefill.engine.pinned == 0
    (outcome,) = run.outcomes
    prefill_s = 0.01 + 50 * 1e-4
    decode_s = 0.01 + 1e-3 + 50e-6
    assert outcome.ttft_s is not None
    assert math.isclose(outcome.ttft_s, prefill_s + 1.0 + 0.5 + decode_s, abs_tol=2e-3)


def test_a_decode_replica_that_is_retired_waits_for_the_kv_on_its_way_to_it() -> None:
    """A transfer under way counts as a request of the replica that it goes to."""
    slow = {**TINY, "kv_transfer": {"latency_s": 2.0, "tokens_per_second": 1000.0}}
    run = Run(deployment(*({**pool, "engine": slow} for pool in APART)), [Arrival(5.0, 50, 3)])
    run.to(5.5)
    serving = run.cluster.serving
    serving.retire(next(w.id for w in serving.workers.values() if w.component == "decode" and w.requests))
    run.to(6.0)
    assert sum(worker.component == "decode" for worker in serving.workers.values()) == 2
    run.to(30)
    assert [outcome.ending for outcome in run.outcomes] == [Ending.COMPLETED]
    assert sum(worker.component == "decode" for worker in serving.workers.values()) == 1


def test_a_replica_that_is_retired_finishes_what_it_has() -> None:
    """Nothing new is sent to it, and it is gone with its last token."""
    run = Run(deployment(), workload(1, count=40, rate=20, from_s=3.0))
    run.to(4.0)
    busy = max(run.cluster.serving.workers.values(), key=lambda worker: len(worker.requests))
    had = len(busy.requests)
    assert had
    run.cluster.serving.retire(busy.id)
    run.to(4.2)
    assert len(busy.requests) <= had
    run.to(60)
    assert busy.id not in run.cluster.serving.workers
    assert all(outcome.ending is Ending.COMPLETED for outcome in run.outcomes)
    assert len(run.outcomes) == 40
