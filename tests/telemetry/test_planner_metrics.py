"""What a cluster's planner tells Prometheus."""

from prometheus_client import generate_latest

from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import Observation, PoolSeen
from penstock.telemetry.planner_metrics import HEARD_S, PlannerMetrics


def seen(desired: int, ready: int) -> Observation:
    pool = PoolSeen(component="llama", desired=desired, starting=0, ready=ready, draining=0)
    return Observation(time_s=1.0, pools=(pool,))


def wants(replicas: int) -> Decision:
    return Decision(
        time_s=1.0,
        component="llama",
        policy="planner",
        current=2,
        desired=replicas,
        limited_by=LimitedBy.MAX,
        reason="r",
    )


def test_what_is_advised_stands_beside_what_the_scale_says_until_the_loop_ends() -> None:
    now = [0.0]
    metrics = PlannerMetrics(lambda: now[0])
    loop = metrics.listener("default", "scalingpolicies/llama")
    other = metrics.listener("default", "qwen")

    def said() -> set[str]:
        lines = generate_latest(metrics.registry).decode().splitlines()
        return {line for line in lines if not line.startswith("#")}

    loop.observed(seen(2, 1))
    labels = 'component="llama",name="scalingpolicies/llama",namespace="default"'
    scale = {
        f"penstock_planner_desired_replicas{{{labels}}} 2.0",
        f"penstock_planner_ready_replicas{{{labels}}} 1.0",
    }
    assert said() == scale, "nothing is wanted before the first decision"
    loop.decided(wants(4))
    loop.decided(wants(3))
    counted = 'component="llama",limited_by="max",name="scalingpolicies/llama",namespace="default"'
    assert said() == scale | {
        f"penstock_planner_wanted_replicas{{{labels}}} 3.0",
        f"penstock_planner_decisions_total{{{counted}}} 2.0",
    }
    now[0] = HEARD_S + 1
    other.observed(seen(1, 1))
    assert all('name="qwen"' in line for line in said()), "a loop that ended says nothing"
