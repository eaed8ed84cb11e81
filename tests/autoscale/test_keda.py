"""KEDA's own part and the HPA beneath it: the facts, one by one."""

import itertools
import math

import pytest

from penstock.autoscale.hpa_metrics import MetricError
from penstock.autoscale.keda import KedaPolicy
from penstock.autoscale.keda_triggers import NAN_MILLI, fallback_milli, is_active, trigger_milli, trigger_value
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.messages.scaling_spec import KedaFallback, KedaScaling, KedaTrigger

TTFT = {"metric": "ttft_s", "threshold": 0.3}


class Cluster:
    """A scale that does at once what it is told, under a ScaledObject."""

    def __init__(self, replicas: int, *triggers: dict[str, object], **scaling: object) -> None:
        fields: dict[str, object] = {"by": "keda", "min": 1, "max": 4, "triggers": triggers or (TTFT,)}
        self.policy = KedaPolicy.of(KedaScaling.model_validate(fields | scaling))
        self.state = self.policy.initial_state()
        self.replicas = replicas
        self.now_s = -self.policy.interval_s

    def tick(self, ttft_s: float | None) -> Decision:
        self.now_s += self.policy.interval_s
        signals = {} if ttft_s is None else {Signal.TTFT: Sample(value=ttft_s)}
        seen = PoolSeen(
            component="w", desired=self.replicas, starting=0, ready=self.replicas, draining=0, signals=signals
        )
        decision, self.state = self.policy.decide(self.state, seen, now_s=self.now_s)
        self.replicas = decision.desired
        return decision

    def run(self, ttft_s: float | None, for_s: float) -> list[int]:
        until_s, counts = self.now_s + for_s, []
        while self.now_s < until_s:
            counts.append(self.tick(ttft_s).desired)
        return counts

    def until(self, replicas: int, ttft_s: float | None) -> float:
        """Seconds until the count is reached."""
        began_s = self.now_s
        while self.replicas != replicas:
            self.tick(ttft_s)
            assert self.now_s < began_s + 5000
        return self.now_s - began_s


def trigger(**fields: object) -> KedaTrigger:
    return KedaTrigger.model_validate(TTFT | fields)


def test_defaults_are_kedas() -> None:
    cluster = Cluster(1)
    assert cluster.policy.scaling.polling_interval_s == 30
    assert cluster.policy.scaling.cooldown_period_s == 300
    assert cluster.policy.hpa.targets[0].type == "AverageValue"
    assert cluster.policy.interval_s == 15


@pytest.mark.parametrize(("poll", "beat", "expected"), [(30, 15, 15), (7, 15, 1), (2, 15, 1), (0.5, 15, 0.5)])
def test_the_interval_serves_polls_and_syncs(poll: float, beat: float, expected: float) -> None:
    assert Cluster(1, polling_interval_s=poll, sync_period_s=beat).policy.interval_s == expected


def test_the_hpa_beneath_has_a_minimum_of_one() -> None:
    assert Cluster(1, min=0).policy.hpa.minimum == 1
    assert Cluster(1, min=3).policy.hpa.minimum == 3


def test_zero_to_one_is_kedas_and_one_to_n_the_hpas() -> None:
    cluster = Cluster(0, min=0, polling_interval_s=5)
    assert cluster.tick(0.0).desired == 0
    woken = cluster.tick(2.0)
    assert (woken.desired, woken.current) == (1, 0)
    assert woken.reason == "KEDA: ttft_s is 2, above the activation 0; waking from 0 to 1."
    assert cluster.tick(2.0).desired == 1  # at 10 s KEDA polls only
    assert cluster.tick(2.0).desired == 4  # at 15 s the HPA syncs


def test_active_means_above_the_activation_threshold() -> None:
    assert not is_active(trigger(activation_threshold=0.2), 0.2)
    assert is_active(trigger(activation_threshold=0.2), 0.201)
    assert not is_active(trigger(), math.nan)


def test_the_way_to_zero_waits_out_the_cooldown_and_passes_the_hpas_window() -> None:
    """Three to zero once the last activity is more than the cool-down ago, though the HPA's window is 300 s."""
    cluster = Cluster(0, min=0, polling_interval_s=2, cooldown_period_s=10)
    cluster.run(0.8, 60)
    assert cluster.replicas == 3
    last_active_s = cluster.state.last_active_s
    cluster.until(0, 0.0)
    assert cluster.now_s - last_active_s == 12  # the first poll after more than 10 s


def test_inactive_from_the_start_goes_to_zero_at_once() -> None:
    assert Cluster(1, min=0).tick(0.0).desired == 0


def test_cooldown_and_polling_do_nothing_with_a_minimum_of_one() -> None:
    """The case study's dead setting: the hold is the HPA's 300 s window, whatever the cool-down says."""
    holds = set()
    for cooldown_s, polling_s in ((10, 30), (120, 30), (3000, 30), (120, 5)):
        cluster = Cluster(2, min=2, cooldown_period_s=cooldown_s, polling_interval_s=polling_s)
        cluster.run(1.2, 60)
        assert cluster.replicas == 4
        cluster.until(2, 0.1)
        holds.add(round(cluster.now_s))
    assert holds == {360}  # 315 s after the last high sync, at 45 s


def test_the_case_study_flaps_on_constant_load() -> None:
    """p95 TTFT as AverageValue drives to the minimum at a healthy latency, then latency drives it up again."""
    cluster = Cluster(2, min=2, max=4, cooldown_period_s=120)
    # An hour; two replicas are too few for this load, three are plenty.
    counts = [cluster.tick(1.0 if cluster.replicas <= 2 else 0.1).desired for _ in range(240)]
    changes = [(a, b) for a, b in itertools.pairwise(counts) if a != b]
    assert len(changes) >= 20
    assert set(changes) == {(4, 2), (2, 4)}


def test_null_counts_as_zero_by_default() -> None:
    """The scrape fails and the pool scales in: the trap of the default."""
    assert trigger_value(trigger(), None) == 0
    assert trigger_value(trigger(), math.inf) == 0
    cluster = Cluster(4, min=2)
    cluster.run(1.2, 30)
    cluster.run(None, 330)
    assert cluster.replicas == 2


def test_null_may_be_an_error_and_then_replicas_stay() -> None:
    with pytest.raises(MetricError):
        trigger_value(trigger(ignore_null_values=False), None)
    cluster = Cluster(4, TTFT | {"ignore_null_values": False}, min=0, cooldown_period_s=10)
    cluster.run(1.2, 30)
    assert set(cluster.run(None, 900)) == {4}
    assert cluster.tick(None).limited_by is LimitedBy.MISSING_DATA


def test_nan_gets_through_even_so() -> None:
    assert math.isnan(trigger_value(trigger(ignore_null_values=False), math.nan))
    assert trigger_milli(math.nan) == NAN_MILLI == -9223372036854775808
    assert trigger_milli(0.2999) == 299


def fallback(**fields: object) -> KedaFallback:
    return KedaFallback.model_validate({"failure_threshold": 2, "replicas": 3} | fields)


@pytest.mark.parametrize(
    ("behavior", "current", "expected"),
    [
        ("static", 5, 3),
        ("currentReplicas", 5, 5),
        ("currentReplicasIfHigher", 5, 5),
        ("currentReplicasIfHigher", 2, 3),
        ("currentReplicasIfLower", 5, 3),
        ("currentReplicasIfLower", 2, 2),
    ],
)
def test_a_fallback_makes_the_value_that_leads_to_its_count(behavior: str, current: int, expected: int) -> None:
    milli = fallback_milli(fallback(behavior=behavior), trigger(threshold=0.5), current=current, ready=1)
    assert milli == expected * 500


def test_a_fallback_of_a_value_target_divides_by_ready_pods() -> None:
    value = trigger(metric_type="Value", threshold=0.6)
    assert fallback_milli(fallback(), value, current=2, ready=2) == 900
    assert fallback_milli(fallback(), value, current=2, ready=0) is None


def test_a_fallbacks_value_is_rounded_as_gos_floats_are() -> None:
    """1001 * 0.001 is a bit more than 1001 / 1000, so twice of it is 2002 thousandths, not 2001."""
    assert fallback_milli(fallback(behavior="currentReplicas"), trigger(threshold=1.0011), current=2, ready=2) == 2002


def test_fallback_sets_in_once_the_hpa_has_failed_more_often_than_the_threshold() -> None:
    """Counted at the HPA's reads, every 15 s, not at KEDA's polls."""
    strict = TTFT | {"ignore_null_values": False}
    cluster = Cluster(1, strict, fallback={"failure_threshold": 2, "replicas": 3}, polling_interval_s=5)
    assert set(cluster.run(None, 40)) == {1}  # failures at 15 s and 30 s
    assert cluster.until(3, None) == 10  # the third, at 45 s
    assert cluster.state.failures == (3,)
    cluster.run(0.1, 15)
    assert cluster.state.failures == (0,)


def test_a_fallback_to_zero_lets_an_unreadable_trigger_put_it_to_sleep() -> None:
    strict = TTFT | {"ignore_null_values": False}
    assert Cluster(1, strict, min=0, fallback={"failure_threshold": 9, "replicas": 0}).tick(None).desired == 0
    assert Cluster(1, strict, min=0, fallback={"failure_threshold": 9, "replicas": 1}).tick(None).desired == 1


def test_idle_replicas_make_the_cooldown_live_again() -> None:
    cluster = Cluster(0, min=2, idle_replicas=0, cooldown_period_s=60, polling_interval_s=15)
    assert cluster.tick(0.0).desired == 0
    assert cluster.tick(0.5).desired == 2  # active: to min, not to one
    assert cluster.until(0, 0.0) == 75


def test_a_late_tick_skips_beats_and_does_not_drift() -> None:
    cluster = Cluster(1)
    cluster.tick(0.1)
    cluster.now_s = 100.0
    cluster.tick(0.1)
    assert (cluster.state.next_poll_s, cluster.state.next_sync_s) == (120.0, 120.0)


def test_two_triggers_either_wakes_and_the_higher_counts() -> None:
    def seen(*values: float) -> PoolSeen:
        signals = {Signal.TTFT: Sample(value=values[0]), Signal.DEMAND: Sample(value=values[1])}
        return PoolSeen(component="w", desired=1, starting=0, ready=1, draining=0, signals=signals)

    policy = Cluster(1, TTFT, {"metric": "requests_per_s", "threshold": 10}).policy
    state = policy.initial_state()
    _, state = policy.decide(state, seen(0.1, 30), now_s=0.0)
    decision, _ = policy.decide(state, seen(0.1, 30), now_s=15.0)
    assert decision.desired == 3
    assert decision.figures["recommended"] == 3


def test_between_polls_and_syncs_nothing_is_done_and_it_says_when() -> None:
    cluster = Cluster(1, polling_interval_s=10, sync_period_s=15)
    cluster.tick(0.1)
    decision = cluster.tick(0.1)
    assert decision.reason == "Nothing is due for another 5 s; staying at 1."
