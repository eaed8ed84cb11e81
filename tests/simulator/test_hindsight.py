"""The best simple policy in hindsight: its search, and the policy that it tunes."""

import pytest

from penstock.autoscale.reactive import ReactivePolicy
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.simulator.hindsight import best_in_hindsight


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
    policy = best_in_hindsight([20.0] * 720, [2] * 60, sample_s=5, window_s=60, lead_s=60, most=8, attain=0.95)
    assert policy.replicas_for(20.0) == 2


def test_bursts_that_recur_are_remembered_just_long_enough() -> None:
    """A burst every ten minutes with a lead time of three: the window must reach from one to the next."""
    loads = ([10.0] * 108 + [50.0] * 12) * 12
    need = ([1] * 9 + [5]) * 12
    policy = best_in_hindsight(loads, need, sample_s=5, window_s=60, lead_s=180, most=8, attain=0.99)
    assert policy.window_s == 600
    assert policy.replicas_for(50.0) == 5


def test_the_cheapest_that_attains_is_taken() -> None:
    """With an instant start a short memory is enough, and cheaper than a long one."""
    loads = ([10.0] * 108 + [50.0] * 12) * 12
    need = ([1] * 9 + [1]) * 12
    policy = best_in_hindsight(loads, need, sample_s=5, window_s=60, lead_s=0, most=8, attain=0.99)
    assert policy.replicas_for(50.0) == pytest.approx(1, abs=4)
    assert policy.window_s == 15
