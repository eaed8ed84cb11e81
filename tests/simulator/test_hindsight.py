"""The best simple policy in hindsight: its search, and the policy that it tunes."""

import pytest

from penstock.autoscale.reactive import ReactivePolicy
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.simulator.hindsight import PoolNeed, best_in_hindsight, least_power


def best(loads: list[float], need: list[int], *, lead_s: float, attain: float) -> ReactivePolicy:
    found = best_in_hindsight(
        loads, {"w": PoolNeed(need=need, lead_s=lead_s)}, sample_s=5, window_s=60, most=8, attain=attain
    )
    return found["w"]


def seen(rate: float | None, desired: int = 1) -> PoolSeen:
    signals = {} if rate is None else {Signal.DEMAND: Sample(value=rate)}
    return PoolSeen(component="w", desired=desired, starting=0, ready=desired, draining=0, signals=signals)


def test_it_asks_for_the_largest_load_of_its_window_with_headroom() -> None:
    """Old peaks are forgotten after the window; no data changes nothing."""
    policy = ReactivePolicy(window_s=30, headroom=1.5, per_replica=10, most=8)
    decision, state = policy.decide(policy.initial_state(), seen(40), now_s=0)
    assert decision.desired == 6
    decision, state = policy.decide(state, seen(10), now_s=20)
    assert decision.desired == 6
    decision, state = policy.decide(state, seen(10), now_s=31)
    assert decision.desired == 2
    decision, _ = policy.decide(policy.initial_state(), seen(None, desired=3), now_s=40)
    assert decision.desired == 3


def test_constant_load_needs_no_headroom() -> None:
    """What is needed is what is asked for."""
    policy = best([20.0] * 720, [2] * 60, lead_s=60, attain=0.95)
    assert policy.replicas_for(20.0) == 2


def test_bursts_that_recur_are_remembered_just_long_enough() -> None:
    """A burst every ten minutes with a lead time of three: the window must reach from one to the next."""
    loads = ([10.0] * 108 + [50.0] * 12) * 12
    need = ([1] * 9 + [5]) * 12
    policy = best(loads, need, lead_s=180, attain=0.99)
    assert policy.window_s == 600
    assert policy.replicas_for(50.0) == 5


def test_the_cheapest_that_attains_is_taken() -> None:
    """With an instant start a short memory is enough, and cheaper than a long one."""
    loads = ([10.0] * 108 + [50.0] * 12) * 12
    need = ([1] * 9 + [1]) * 12
    policy = best(loads, need, lead_s=0, attain=0.99)
    assert policy.replicas_for(50.0) == pytest.approx(1, abs=4)
    assert policy.window_s == 15


def test_pools_share_window_and_headroom_each_on_its_own_scale() -> None:
    """Decode needs twice what prefill does; both have to have it."""
    pools = {"p": PoolNeed(need=[2] * 60, lead_s=60), "d": PoolNeed(need=[4] * 60, lead_s=60)}
    found = best_in_hindsight([20.0] * 720, pools, sample_s=5, window_s=60, most=8, attain=0.95)
    assert {name: policy.replicas_for(20.0) for name, policy in found.items()} == {"p": 2, "d": 4}
    assert found["p"].headroom == found["d"].headroom


@pytest.mark.parametrize("least", range(13))
def test_headroom_is_raised_no_more_than_it_takes_in_few_runs(least: int) -> None:
    """Each asking is a run of the whole workload; the largest is not asked, since nothing is left to try."""
    asked = []

    def enough(power: int) -> bool:
        asked.append(power)
        return power >= least

    assert least_power(enough, 12) == least
    assert len(set(asked)) == len(asked) <= 7
    assert 12 not in asked
