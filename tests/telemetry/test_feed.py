"""The feed: what a page is told, how it grows, and that it stays bounded."""

import math
from dataclasses import replace

import orjson
import pytest
from fake_run import FakeRun, deployment, play

from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import NodePoolSeen, Observation, PoolSeen, Sample, Signal, WorkerSeen
from penstock.telemetry.feed import MAX_WORKERS, Feed


def seen(time_s: float, *, signals: dict[Signal, float] | None = None, ready: int = 2, workers: int = 0) -> Observation:
    pool = PoolSeen(
        component="worker",
        desired=ready,
        starting=0,
        ready=ready,
        draining=0,
        signals={name: Sample(value=value) for name, value in (signals or {}).items()},
        workers=tuple(WorkerSeen(id=f"w{each}", state="ready", since_s=0.0, running=each) for each in range(workers)),
    )
    return Observation(time_s=time_s, pools=(pool,))


def decided(time_s: float, *, current: int = 2, desired: int = 3) -> Decision:
    return Decision(
        time_s=time_s,
        component="worker",
        policy="planner",
        current=current,
        desired=desired,
        limited_by=LimitedBy.NONE,
        reason=f"at {time_s}",
        seen={Signal.DEMAND: Sample(value=9.0, age_s=0.5)},
        figures={"demand": 9.0, "forecast": 12.0, "capacity_per_replica": 5.0},
    )


def test_no_data_is_absent_not_nought() -> None:
    """Before the first request there is no TTFT; the column says so once there is one."""
    feed = Feed(deployment())
    feed.observed(seen(0.0))
    feed.observed(seen(1.0, signals={Signal.TTFT: 0.2}))
    history = feed.history()
    assert history["series"]["ttft_s"] == [None, 0.2]
    assert "pool/worker/queue" not in history["series"]


def test_capacity_is_what_the_ready_replicas_carry() -> None:
    """The figure of the last decision times the replicas that are ready at each look."""
    feed = Feed(deployment())
    feed.observed(seen(0.0))
    feed.decided(decided(0.0))
    feed.observed(seen(1.0, ready=3))
    series = feed.history()["series"]
    assert series["pool/worker/capacity"] == [None, 15.0]
    assert series["pool/worker/forecast"] == [None, 12.0]


def test_nodes_are_counted_in_gpus() -> None:
    """By the state of their node, beside what pods hold; a world without nodes has no such series."""
    nodes = NodePoolSeen(vm_size="big", gpus_per_node=8, warm=2, provisioning=1, in_use=11)
    feed = Feed(deployment())
    feed.observed(seen(0.0))
    assert not any(name.startswith("nodes/") for name in feed.history()["series"])
    feed.observed(replace(seen(1.0), nodes=(nodes,)))
    series = feed.history()["series"]
    assert [series[f"nodes/big/{name}"] for name in ("warm", "provisioning", "cold", "in_use")] == [
        [None, 16], [None, 8], [None, 0], [None, 11],
    ]  # fmt: skip


def test_with_several_pools_the_worst_latency_counts() -> None:
    """A client waits for all of them."""
    pools = tuple(
        PoolSeen(component=name, desired=1, starting=0, ready=1, draining=0, signals={Signal.TTFT: Sample(value=value)})
        for name, value in (("prefill", 0.7), ("decode", 0.1))
    )
    feed = Feed(deployment(2))
    feed.observed(Observation(time_s=0.0, pools=pools))
    assert feed.history()["series"]["ttft_s"] == [0.7]


def test_history_and_what_came_since_make_the_whole() -> None:
    """Whoever asks once and then for news holds the same as whoever asks at the end."""
    run = FakeRun(deployment(), seed=2)
    feed = Feed(run.spec, costs=lambda: run.costs)
    play(feed, run.events(40))
    held = feed.history()
    for second in range(40, 90):
        play(feed, run.events(second + 1, from_s=second))
        if second % 7:
            continue
        news = feed.since(held["seq"])
        assert news is not None
        for moment in news["moments"]:
            held["time_s"].append(moment["time_s"])
            for name, value in moment["values"].items():
                held["series"].setdefault(name, [None] * (len(held["time_s"]) - 1)).append(value)
        held["decisions"].extend(news["decisions"])
        held["seq"], held["now"] = news["seq"], news["now"]
    news = feed.since(held["seq"])
    whole = feed.history()
    assert news is not None
    assert held["time_s"] + [moment["time_s"] for moment in news["moments"]] == whole["time_s"]
    assert held["decisions"] + news["decisions"] == whole["decisions"]
    ttft = held["series"]["ttft_s"] + [moment["values"]["ttft_s"] for moment in news["moments"]]
    assert ttft == whole["series"]["ttft_s"]


def test_nothing_new_is_none() -> None:
    """Then nothing is sent."""
    feed = Feed(deployment())
    assert feed.since(0) is None
    feed.observed(seen(0.0))
    assert feed.since(feed.seq) is None


def test_only_the_last_quarter_of_an_hour_is_held() -> None:
    """After 1,000 seconds, those before second 99 are gone; and their decisions."""
    feed = Feed(deployment())
    for second in range(1000):
        feed.observed(seen(float(second)))
        feed.decided(decided(float(second)))
    history = feed.history()
    assert history["time_s"][0] == 99.0
    assert len(history["time_s"]) == 901
    assert history["decisions"][0]["time_s"] >= 99.0
    assert feed.oldest_seq == 2 * 99 + 1


def test_a_hasty_loop_does_not_grow_it() -> None:
    """A hundred looks a second for a minute: the number of moments is bounded too."""
    feed = Feed(deployment(), max_moments=500, max_decisions=50)
    for look in range(6_000):
        feed.observed(seen(look / 100))
        feed.decided(decided(look / 100))
    history = feed.history()
    assert len(history["time_s"]) == 500
    assert len(history["decisions"]) == 50


def test_workers_are_bounded_and_forgotten_when_gone() -> None:
    """Of a thousand, the first few dozen are shown one by one; of those gone, no series is left."""
    feed = Feed(deployment())
    feed.observed(seen(0.0, workers=1000))
    assert len(feed.history()["now"]["workers"]) == MAX_WORKERS
    feed.observed(seen(1.0, workers=1))
    assert [name for name in feed.history()["series"] if name.startswith("worker/")] == [
        "worker/w0/kv_usage",
        "worker/w0/running",
    ]


def test_a_decision_keeps_the_record_of_the_interfaces() -> None:
    """time_s, component, policy, current, desired, limited_by, reason, seen with value and age."""
    feed = Feed(deployment())
    feed.observed(seen(4.0))
    feed.decided(decided(5.0))
    (entry,) = feed.history()["decisions"]
    assert entry == {
        "seq": 2,
        "time_s": 5.0,
        "component": "worker",
        "policy": "planner",
        "current": 2,
        "desired": 3,
        "limited_by": "none",
        "reason": "at 5.0",
        "seen": {"requests_per_s": {"value": 9.0, "age_s": 0.5}},
        "figures": {"demand": 9.0, "forecast": 12.0, "capacity_per_replica": 5.0},
    }


def test_it_tells_how_old_its_last_look_is() -> None:
    """So that a page opened on a silent control loop says so at once."""
    now_s = 100.0
    feed = Feed(deployment(), monotonic_s=lambda: now_s)
    assert feed.history()["age_s"] is None
    feed.observed(seen(0.0))
    now_s = 112.0
    assert feed.history()["age_s"] == 12.0


@pytest.mark.parametrize("pools", [1, 2])
def test_everything_told_is_json(pools: int) -> None:
    """No message type leaks that a browser could not read; nothing is NaN."""
    run = FakeRun(deployment(pools), seed=4)
    feed = Feed(run.spec, costs=lambda: run.costs, started_unix_s=1.0)
    play(feed, run.events(120))
    document = orjson.loads(orjson.dumps(feed.history()))
    values = [value for column in document["series"].values() for value in column if value is not None]
    assert values
    assert all(math.isfinite(value) for value in values)
    assert document["now"]["gpu_hours"]["total"] > 0
