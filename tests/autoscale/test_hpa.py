"""The HorizontalPodAutoscaler sync by sync, and the policy around it."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.autoscale.hpa import Hpa, HpaPolicy, HpaState, Sync, Target, sync
from penstock.autoscale.hpa_behavior import settled
from penstock.autoscale.hpa_pods import Pod
from penstock.messages.decision import LimitedBy
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.messages.scaling_spec import Behavior, HpaScaling

PER_REPLICA = Target(metric=Signal.DEMAND, type="AverageValue", target=10_000)
LATENCY = Target(metric=Signal.TTFT, type="Value", target=300)


class Syncs:
    """A scale that does at once what it is told, under an autoscaler that is asked every 15 s."""

    def __init__(self, hpa: Hpa, replicas: int) -> None:
        self.hpa, self.replicas, self.now_s, self.state = hpa, replicas, 0.0, HpaState()

    def run(self, *values: float | None) -> Sync:
        self.now_s += 15
        pods = [Pod(name=f"p{i}") for i in range(self.replicas)]
        outcome, self.state = sync(
            self.hpa,
            self.state,
            replicas=self.replicas,
            status_replicas=self.replicas,
            pods=pods,
            values=[None if value is None else int(value * 1000) for value in values],
            now_s=self.now_s,
        )
        self.replicas = outcome.desired
        return outcome

    def until_changed(self, *values: float | None) -> float:
        """Sync on and on; seconds since the first of these syncs until the count changed."""
        before, began_s = self.replicas, self.now_s + 15
        while self.replicas == before:
            self.run(*values)
            assert self.now_s < 10_000
        return self.now_s - began_s


def hpa(*targets: Target, behavior: Behavior | None = None, minimum: int = 1, maximum: int = 10) -> Hpa:
    return Hpa(minimum=minimum, maximum=maximum, targets=targets, behaviors=settled(behavior))


def test_the_count_at_the_first_sync_is_a_recommendation_so_nothing_goes_in_the_first_window() -> None:
    assert Syncs(hpa(PER_REPLICA), 4).until_changed(5.0) == 315  # exactly 300 s old still counts
    assert Syncs(hpa(PER_REPLICA, behavior=Behavior()), 4).until_changed(5.0) == 300


def test_last_high_at_195_s_goes_down_at_510_s() -> None:
    """The very figures that were seen of the real controller, without behaviour."""
    syncs = Syncs(hpa(PER_REPLICA), 4)
    while syncs.now_s < 195:
        syncs.run(40.0)
    syncs.until_changed(5.0)
    assert syncs.now_s == 510


def test_a_failed_sync_records_no_recommendation() -> None:
    """Data lost for a window: when they return, the old high ones have run out, and it falls at once."""
    syncs = Syncs(hpa(PER_REPLICA), 4)
    syncs.run(40.0)
    for _ in range(21):
        assert syncs.run(None).limited_by is LimitedBy.MISSING_DATA
    assert syncs.run(5.0).desired == 1


def test_of_several_metrics_the_highest_counts() -> None:
    assert Syncs(hpa(PER_REPLICA, LATENCY), 2).run(30.0, 0.1).desired == 3
    assert Syncs(hpa(PER_REPLICA, LATENCY), 2).run(1.0, 0.6).desired == 4


def test_one_failed_metric_blocks_the_way_down_only() -> None:
    up = Syncs(hpa(PER_REPLICA, LATENCY), 2).run(30.0, None)
    assert (up.desired, up.limited_by) == (3, LimitedBy.NONE)
    down = Syncs(hpa(PER_REPLICA, LATENCY, behavior=Behavior()), 4)
    for _ in range(60):
        outcome = down.run(5.0, None)
    assert (outcome.desired, outcome.limited_by, outcome.recommended) == (4, LimitedBy.MISSING_DATA, None)


def test_the_same_metric_may_be_a_target_twice() -> None:
    average = replace(LATENCY, type="AverageValue")
    assert Syncs(hpa(LATENCY, average), 2).run(0.9, 0.9).desired == 6 - 2  # Value asks for 6, a sync allows 4


def test_outside_the_bounds_it_jumps_past_windows_and_policies_and_reads_nothing() -> None:
    slow = Behavior.model_validate({"scale_down": {"policies": [{"type": "Pods", "value": 1, "period_s": 60}]}})
    above = Syncs(hpa(PER_REPLICA, behavior=slow, maximum=3), 9).run(None)
    assert (above.desired, above.limited_by, above.answers) == (3, LimitedBy.MAX, ())
    below = Syncs(hpa(PER_REPLICA, minimum=4), 1).run(None)
    assert (below.desired, below.limited_by) == (4, LimitedBy.MIN)


def test_a_jump_counts_as_an_event_for_the_rate_limit() -> None:
    syncs = Syncs(hpa(PER_REPLICA, behavior=Behavior(), minimum=4, maximum=100), 1)
    assert syncs.run(None).desired == 4
    assert syncs.state.up_events[0].change == 3


def test_zero_replicas_and_a_minimum_above_mean_leave_it_alone() -> None:
    assert Syncs(hpa(PER_REPLICA), 0).run(99.0).limited_by is LimitedBy.OWNER


def test_minimum_zero_scales_from_and_to_zero_by_the_ratio() -> None:
    syncs = Syncs(hpa(LATENCY, minimum=0), 0)
    assert syncs.run(0.6).desired == 2
    syncs.until_changed(0.0)
    assert syncs.replicas == 0


def test_within_the_tolerance_it_says_so() -> None:
    assert Syncs(hpa(PER_REPLICA), 2).run(21.0).limited_by is LimitedBy.TOLERANCE


def test_the_case_study_flaps_to_one_at_healthy_latency() -> None:
    """p95 TTFT 0.3 as AverageValue: 4 replicas stay only above 0.9 s; a healthy 0.1 s asks for one."""
    average = replace(LATENCY, type="AverageValue")
    syncs = Syncs(hpa(average, minimum=2, maximum=4), 2)
    assert syncs.run(0.66).desired == 2
    assert syncs.run(0.7).desired == 3
    assert syncs.run(1.2).desired == 4
    outcome = syncs.run(0.1)
    assert outcome.recommended == 1
    assert syncs.until_changed(0.1) <= 315
    assert syncs.replicas == 2  # straight to the minimum


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 200)), min_size=1, max_size=60),
    st.integers(1, 3),
    st.integers(3, 12),
    st.booleans(),
)
def test_the_count_stays_in_bounds_and_never_falls_on_no_data(
    values: list[float | None], minimum: int, maximum: int, plain: bool
) -> None:
    syncs = Syncs(hpa(PER_REPLICA, minimum=minimum, maximum=maximum, behavior=None if plain else Behavior()), minimum)
    for value in values:
        before = syncs.replicas
        after = syncs.run(value).desired
        assert minimum <= after <= maximum
        assert value is not None or after == before
        assert len(syncs.state.recommendations) <= 22  # a window of syncs, and no more


def pool(**signals: float) -> PoolSeen:
    return PoolSeen(
        component="frontend",
        desired=2,
        starting=0,
        ready=2,
        draining=0,
        signals={Signal(name): Sample(value=value) for name, value in signals.items()},
    )


def test_the_policy_reads_the_spec_and_the_pools_signals() -> None:
    scaling = HpaScaling(by="hpa", max=9, cpu_percent=70, requests_per_second=200)
    policy = HpaPolicy.of(scaling)
    decision, _ = policy.decide(policy.initial_state(), pool(cpu_ratio=0.9, requests_per_s=700), now_s=15.0)
    assert policy.interval_s == 15
    assert (decision.current, decision.desired, decision.policy) == (2, 4, "hpa")
    assert decision.reason == (
        "cpu_ratio is 1.29 times its target of 70 %, which asks for 3; requests_per_s is 700 against 200 for each "
        "replica, which asks for 4; scaling from 2 to 4."
    )
    assert decision.figures == {
        "proposal_cpu_ratio_utilization": 3,
        "proposal_requests_per_s_averagevalue": 4,
        "recommended": 4,
    }
    assert set(decision.seen) == {"cpu_ratio", "requests_per_s"}


def test_the_policy_holds_without_its_metric_and_says_which() -> None:
    policy = HpaPolicy.of(HpaScaling(by="hpa", max=9, requests_per_second=200))
    decision, _ = policy.decide(policy.initial_state(), pool(), now_s=15.0)
    assert (decision.desired, decision.limited_by) == (2, LimitedBy.MISSING_DATA)
    assert decision.reason == (
        "requests_per_s cannot be read (no value); staying at 2, because nothing scales in while a metric is missing."
    )


def test_a_sample_older_than_prometheus_would_serve_is_no_data() -> None:
    policy = HpaPolicy.of(HpaScaling(by="hpa", max=9, requests_per_second=200))
    seen = replace(pool(), signals={Signal.DEMAND: Sample(value=900, age_s=301)})
    assert policy.decide(policy.initial_state(), seen, now_s=400.0)[0].desired == 2


def test_behaviour_may_set_a_tolerance_of_its_own_for_each_direction() -> None:
    behavior = Behavior.model_validate({"scale_up": {"tolerance": 0.5}})
    policy = HpaPolicy.of(HpaScaling(by="hpa", max=9, requests_per_second=200, behavior=behavior))
    assert (policy.hpa.tolerance.up, policy.hpa.tolerance.down) == (0.5, 0.1)
