"""The planner in a closed loop: a pool that starts, serves, queues and drains, in virtual time."""

import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_world import PoolWorld, deployment, steps

from penstock.autoscale.demand import UNKNOWN_MIX
from penstock.autoscale.policies import policy_for
from penstock.errors import InputError
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.messages.spec import DeploymentBody

REQUIRED = (Signal.DEMAND, Signal.QUEUE, Signal.TTFT, Signal.ITL, Signal.ISL, Signal.OSL, Signal.HELD, Signal.KV_USAGE)


def test_demand_steps_up_and_after_the_lead_time_the_replicas_suffice() -> None:
    world = PoolWorld(deployment(cool_in_s=30), steps((0, 20), (100, 130))).run(400)
    assert world.ready * world.holds >= 130
    assert world.changes[0] == (100, 1, 4)  # at the first look, in one go
    assert world.queue == 0
    assert world.late_s < 30


def test_demand_steps_down_and_it_scales_in_by_half_at_most_each_time_after_a_cool_in() -> None:
    world = PoolWorld(deployment(cool_in_s=30), steps((0, 130), (200, 20)), replicas=4).run(600)
    assert [(a, b) for _, a, b in world.changes] == [(4, 3), (3, 1)]
    times = [at_s for at_s, _, _ in world.changes]
    assert times[0] >= 230
    assert all(later - earlier >= 30 for earlier, later in itertools.pairwise(times))


def test_nothing_scales_in_within_the_first_cool_in() -> None:
    world = PoolWorld(deployment(cool_in_s=60), steps((0, 5)), replicas=4).run(300)
    assert world.changes[0][0] == 60


def test_a_bigger_step_in_may_be_allowed() -> None:
    world = PoolWorld(deployment(cool_in_s=30, max_step_in=3), steps((0, 5)), replicas=4).run(100)
    assert world.changes == [(30, 4, 1)]


def test_replicas_that_start_count_as_coming_so_nothing_runs_away() -> None:
    """Three minutes of lead time, decided every 5 s: the count is the need, not the need again and again."""
    world = PoolWorld(deployment(max=50), steps((0, 20), (100, 130)), lead_s=180, replicas=1).run(270)
    assert max(world.counts) <= 12  # four for the demand, the rest to work off what has piled up
    before_ready = [d.desired for d in world.decisions if d.time_s < 160]
    assert max(before_ready) <= 8


def test_a_backlog_is_worked_off_and_then_forgotten() -> None:
    world = PoolWorld(deployment(cool_in_s=30), steps((0, 30)), replicas=1)
    world.queue = 500
    world.run(10)
    assert world.decisions[0].figures["waiting"] == pytest.approx(485)
    assert world.decisions[0].desired > 1
    assert "485 too many waiting, to be worked off within 10 s" in world.decisions[0].reason
    world.run(300)
    assert (world.queue, world.desired) == (0, 1)


def test_flapping_is_bounded_by_the_cool_in() -> None:
    """Demand that swings across a boundary every 20 s: at most one way in per cool-in."""
    swinging = steps(*[(20.0 * i, 38.0 if i % 2 else 46.0) for i in range(60)])
    world = PoolWorld(deployment(cool_in_s=60), swinging).run(1200)
    ways_in = [at_s for at_s, a, b in world.changes if b < a]
    assert len(ways_in) <= 1


def test_spikes_that_recur_are_provisioned_for_and_single_ones_are_not() -> None:
    recurring = steps(*[(30.0 * i, 100.0 if i % 3 == 2 else 20.0) for i in range(60)])
    world = PoolWorld(deployment(cool_in_s=10), recurring).run(1200)
    calm = [d for d in world.decisions if d.time_s > 600 and d.figures["demand"] < 25]
    assert any(d.limited_by is LimitedBy.FORECAST for d in calm)
    single = PoolWorld(deployment(cool_in_s=10), steps((0, 20), (300, 100), (330, 20))).run(4000)
    assert single.desired == 1


def test_a_longer_lead_time_provisions_for_more() -> None:
    def ramp(at_s: float) -> float:
        return 20 + at_s / 3

    short = PoolWorld(deployment(), ramp, lead_s=5).run(400)
    long = PoolWorld(deployment(), ramp, lead_s=120).run(400)
    assert long.decisions[-1].figures["forecast"] > short.decisions[-1].figures["forecast"] + 10
    assert long.desired > short.desired


def test_the_lead_time_is_the_specs_cold_start_until_one_was_measured() -> None:
    world = PoolWorld(deployment(), steps((0, 20)))
    world.lost = [Signal.LEAD_TIME]
    assert world.decide().figures["lead_time_s"] == 30
    world.lost = ()
    assert world.decide().figures["lead_time_s"] == 8


def test_held_requests_wake_a_sleeping_pool_at_once() -> None:
    """Whatever the cool-out says."""
    world = PoolWorld(deployment(min=0, cool_out_s=600), steps((0, 0)), replicas=0).run(100)
    assert set(world.counts) == {0}
    world.queue = 1
    assert world.decide().desired == 1


def test_demand_alone_wakes_a_sleeping_pool() -> None:
    world = PoolWorld(deployment(min=0), steps((0, 0), (60, 2)), replicas=0).run(70)
    assert world.changes == [(60, 0, 1)]


def test_it_sleeps_only_at_a_minimum_of_zero_and_after_a_cool_in_without_demand() -> None:
    world = PoolWorld(deployment(min=0, cool_in_s=60), steps((0, 5), (100, 0)), replicas=1).run(400)
    assert world.changes == [(155, 1, 0)]  # 60 s after the last look at which somebody wanted something
    awake = PoolWorld(deployment(min=1, cool_in_s=60), steps((0, 5), (100, 0)), replicas=1).run(400)
    assert awake.changes == []


def test_a_request_in_flight_keeps_the_last_replica() -> None:
    world = PoolWorld(deployment(min=0, cool_in_s=20), steps((0, 0)), replicas=1)
    seen = world.seen()
    busy = {**seen.signals, Signal.IN_FLIGHT: Sample(value=1)}
    state = world.state
    for i in range(20):
        pool = PoolSeen(component="worker", desired=1, starting=0, ready=1, draining=0, signals=busy)
        decision, state = world.policy.decide(state, pool, now_s=5.0 * i)
        assert decision.desired == 1


@pytest.mark.parametrize("signal", REQUIRED)
def test_a_lost_signal_never_scales_in_and_the_reason_names_it(signal: Signal) -> None:
    world = PoolWorld(deployment(cool_in_s=30), steps((0, 130), (100, 10)), replicas=4).run(95)
    world.lost = [signal]
    world.run(400)
    assert min(world.counts) == 4
    assert world.decisions[-1].limited_by is LimitedBy.MISSING_DATA
    assert f"{signal} is missing, and nothing scales in on no data" in world.decisions[-1].reason
    world.lost = ()
    assert world.run(600).desired < 4


@pytest.mark.parametrize("signal", REQUIRED)
def test_a_stale_signal_never_scales_in(signal: Signal) -> None:
    world = PoolWorld(deployment(cool_in_s=30), steps((0, 130), (100, 10)), replicas=4).run(95)
    world.stale = [signal]
    world.run(400)
    assert min(world.counts) == 4
    assert world.decisions[-1].limited_by is LimitedBy.STALE_DATA


def test_a_world_that_says_nothing_at_all_changes_nothing() -> None:
    world = PoolWorld(deployment(), steps((0, 50)), replicas=3)
    world.lost = list(Signal)
    world.run(300)
    assert set(world.counts) == {3}
    assert world.decisions[-1].reason.startswith("Demand is unknown; ")


def test_scaling_out_is_allowed_on_part_of_the_data() -> None:
    """Demand is lost, but there is a queue that the replicas will not work off."""
    world = PoolWorld(deployment(), steps((0, 60)), replicas=2).run(60)
    world.lost = [Signal.DEMAND]
    world.queue = 2000
    assert world.decide().desired > 2


def test_a_lost_hit_ratio_changes_no_plan() -> None:
    world = PoolWorld(deployment(), steps((0, 60)), replicas=2).run(60)
    before = world.decisions[-1].figures["capacity_per_replica"]
    world.lost = [Signal.HIT_RATIO, Signal.ISL, Signal.OSL, Signal.ISL_P95, Signal.OSL_P95]
    assert world.decide().figures["capacity_per_replica"] == pytest.approx(before)


def test_the_first_length_measured_replaces_what_was_assumed() -> None:
    """Prompts are measured when requests come, answers when they end: until then their length is made up."""
    world = PoolWorld(deployment(), steps((0, 60)), replicas=2)
    world.lost = [Signal.OSL, Signal.OSL_P95, Signal.ITL]
    assert world.run(20).decisions[-1].figures["planned_osl_tokens"] == pytest.approx(UNKNOWN_MIX.osl, rel=0.06)
    known = {**world.seen().signals, Signal.OSL: Sample(value=20), Signal.OSL_P95: Sample(value=40)}
    pool = PoolSeen(component="worker", desired=2, starting=0, ready=2, draining=0, signals=known)
    decision, _ = world.policy.decide(world.state, pool, now_s=25.0)
    assert decision.figures["planned_osl_tokens"] == pytest.approx(20, rel=0.06)


def test_a_missed_target_lets_none_go_however_the_model_likes_it() -> None:
    """The engine is half as fast as its model: what is measured wins, first by holding, then by correction."""
    world = PoolWorld(deployment(cool_in_s=20, max=6), steps((0, 66)), replicas=3, holds=20).run(900)
    assert any("with what there is, so none may go" in d.reason for d in world.decisions)
    assert world.state.correction.factor < 0.7
    late_s = world.late_s
    world.run(1500)
    assert world.late_s - late_s < 60
    ways_in = [at_s for at_s, a, b in world.changes if b < a and at_s > 900]
    assert len(ways_in) <= 1  # it may try again after a quarter of an hour


@pytest.mark.parametrize(
    ("role", "demand", "growing", "learns"),
    [("worker", 80, False, True), ("prefill", 160, False, False), ("prefill", 160, True, True)],
)
def test_prefill_learns_nothing_from_first_tokens_that_are_late_elsewhere(
    role: str, demand: float, growing: bool, learns: bool
) -> None:
    """A full decode pool makes first tokens late, too: then prefill holds what it has. Its own is only its queue."""
    world = PoolWorld(deployment(role=role, cool_in_s=20), steps((0, demand)), replicas=4)
    for i in range(120):
        queue = 100.0 + 2 * i if growing else 0.0
        late = {**world.seen().signals, Signal.TTFT: Sample(value=2.0), Signal.QUEUE: Sample(value=queue)}
        decision, world.state = world.policy.decide(world.state, replace(world.seen(), signals=late), now_s=5.0 * i)
        assert decision.desired >= 4
    assert (world.state.correction.factor < 0.9) is learns


def test_a_full_kv_cache_asks_for_one_more() -> None:
    world = PoolWorld(deployment(), steps((0, 20)), replicas=2)
    full = {**world.seen().signals, Signal.KV_USAGE: Sample(value=0.99)}
    pool = PoolSeen(component="worker", desired=2, starting=0, ready=2, draining=0, signals=full)
    decision, _ = world.policy.decide(world.state, pool, now_s=0.0)
    assert decision.desired == 3
    assert "so 3 are needed with 99 % of the KV cache in use" in decision.reason


def test_the_reason_is_a_sentence_from_which_the_sum_can_be_redone() -> None:
    world = PoolWorld(deployment(max=3), steps((0, 130)), replicas=2)
    decision = world.decide()
    per = decision.figures["capacity_per_replica"]
    assert decision.reason == (
        f"130 requests/s now, up to 135 expected within 13 s (99 %); one replica holds {per:.3g} within TTFT 0.5 s and "
        "ITL 50 ms, so 4 are needed; scaling from 2 to 3, the maximum."
    )
    assert decision.limited_by is LimitedBy.MAX
    assert {"demand", "forecast", "capacity_per_replica", "needed"} <= set(decision.figures)
    assert decision.seen["requests_per_s"].value == 130


def test_the_sum_can_be_redone_when_demand_is_lost() -> None:
    world = PoolWorld(deployment(), steps((0, 60)), replicas=2).run(60)
    world.lost = [Signal.DEMAND]
    decision = world.decide()
    assert decision.reason.startswith(
        "Demand is unknown now and was 60 requests/s, up to 63.3 expected within 13 s (99 %)"
    )
    assert decision.figures["forecast"] == pytest.approx(63.3, abs=0.05)


def test_at_zero_an_unknown_demand_is_not_called_none() -> None:
    world = PoolWorld(deployment(min=0), steps((0, 0)), replicas=0)
    assert world.decide().reason == "No request now and none waiting; staying at 0."
    world.lost = list(Signal)
    decision = world.decide()
    assert decision.reason == "Demand is unknown and nobody is known to wait; staying at 0."
    assert decision.limited_by is LimitedBy.MISSING_DATA


def test_the_kv_cache_is_named_only_where_it_decides() -> None:
    world = PoolWorld(deployment(), steps((0, 60)), replicas=2).run(60)
    half_full = {**world.seen().signals, Signal.KV_USAGE: Sample(value=0.6)}
    decision, _ = world.policy.decide(world.state, replace(world.seen(), signals=half_full), now_s=60.0)
    assert decision.desired == 2
    assert "so 2 are needed; staying at 2" in decision.reason


def test_what_must_fit_beyond_the_forecast_before_one_goes_is_told() -> None:
    """76 and its noise would just fit two replicas of 39.9; an error of the mean more would not."""
    world = PoolWorld(deployment(cool_in_s=10), steps((0, 76)), replicas=3).run(60)
    assert world.desired == 3
    assert (
        "up to 79.7 expected within 13 s (99 %) and 1.59 more to be sure before one goes; "
        in world.decisions[-1].reason
    )
    assert "so 3 are needed; 2 would do now, but the forecast would take them back; " in world.decisions[-1].reason
    assert world.decisions[-1].limited_by is LimitedBy.FORECAST


def test_prefill_answers_for_first_tokens_and_decode_for_the_rest() -> None:
    def reason(role: str) -> str:
        return PoolWorld(deployment(role=role), steps((0, 20))).decide().reason

    assert "within TTFT 0.392 s, so" in reason("prefill")  # 0.5 less transfer and two steps of 0.05
    assert "within ITL 50 ms and 0.1 s of waiting to decode, so" in reason("decode")


def test_answers_that_grew_longer_scale_decode_before_their_lengths_are_known() -> None:
    """Means of lengths look back: only what decodes now tells in time. Steps of 50 ms have room for 996 sequences."""
    world = PoolWorld(deployment(role="decode"), steps((0, 20)))

    def decided(desired: int, itl_s: float) -> Decision:
        crowd = {**world.seen().signals, Signal.ITL: Sample(value=itl_s), Signal.RUNNING: Sample(value=2500)}
        pool = PoolSeen(component="decode", desired=desired, starting=0, ready=1, draining=0, signals=crowd)
        return world.policy.decide(world.state, pool, now_s=0.0)[0]

    late = decided(1, itl_s=0.2)
    assert late.desired == 3
    assert "but 2500 requests decode at once and one replica keeps 996 of them in time, so 3 are needed" in late.reason
    assert decided(1, itl_s=0.04).figures["needed"] == 1, "a moment's crowd that is in time"
    assert decided(4, itl_s=0.04).figures["needed"] == 3, "but it has to fit when replicas go"


def test_a_demand_that_just_ended_is_told_as_what_it_was() -> None:
    world = PoolWorld(deployment(), steps((0, 130), (40, 0)), replicas=4).run(46)
    assert world.decisions[-1].reason.startswith("No request now, ")
    assert "requests/s lately, up to" in world.decisions[-1].reason


def test_a_slow_prefill_scales_prefill_and_a_slow_decode_decode() -> None:
    def held(role: str, **signals: float) -> int:
        world = PoolWorld(deployment(role=role, cool_in_s=20), steps((0, 130)), replicas=4)
        for i in range(40):
            values = {**world.seen().signals, **{Signal(k): Sample(value=v) for k, v in signals.items()}}
            pool = PoolSeen(
                component=role, desired=world.desired, starting=0, ready=world.desired, draining=0, signals=values
            )
            decision, world.state = world.policy.decide(world.state, pool, now_s=5.0 * i)
            world.desired = decision.desired
        return world.desired

    assert held("prefill", ttft_s=2.0) > held("prefill", itl_s=2.0)
    assert held("decode", itl_s=2.0) > held("decode", ttft_s=2.0)


def test_a_planner_on_a_frontend_is_refused_with_what_would_be_right() -> None:
    spec = DeploymentBody.model_validate(
        {
            "model": {"name": "m"},
            "slo": {"ttft_s": 0.5, "itl_s": 0.05},
            "components": [
                {"name": "front", "role": "frontend", "autoscaling": {"by": "planner", "max": 2}},
                {"name": "w", "role": "worker"},
            ],
        }
    )
    with pytest.raises(InputError, match="use hpa with requestsPerSecond"):
        policy_for(spec, spec.components[0])


def test_a_planner_on_an_engine_that_cannot_run_is_refused_before_it_decides() -> None:
    spec = deployment()
    broken = spec.components[0].engine.model_copy(update={"max_num_batched_tokens": 16})
    with pytest.raises(InputError, match="max_num_batched_tokens"):
        policy_for(spec, spec.components[0].model_copy(update={"engine": broken}))


def test_fixed_and_external_pools_are_left_to_their_owners() -> None:
    body = {"model": {"name": "m"}, "slo": {"ttft_s": 0.5, "itl_s": 0.05}}
    for by, expected in (("none", 2), ("external", 5)):
        component = {"name": "w", "role": "worker", "replicas": 2, "autoscaling": {"by": by}}
        parsed = DeploymentBody.model_validate({**body, "components": [component]})
        policy = policy_for(parsed, parsed.components[0])
        seen = PoolSeen(component="w", desired=5, starting=0, ready=5, draining=0)
        decision, _ = policy.decide(policy.initial_state(), seen, now_s=0.0)
        assert (decision.desired, decision.limited_by, decision.policy) == (expected, LimitedBy.OWNER, by)


RATES = st.lists(st.sampled_from([0.0, 0.5, 5.0, 30.0, 60.0, 120.0, 400.0]), min_size=1, max_size=40)
LOST = st.lists(st.sets(st.sampled_from(list(Signal))), min_size=40, max_size=40)


def history(rates: list[float], lost: Iterable[Iterable[Signal]] = (), **scaling: object) -> PoolWorld:
    """A pool whose demand changes every 10 s, with other signals lost each time."""
    parts = [(10.0 * i, rate) for i, rate in enumerate(rates)]
    world = PoolWorld(deployment(**scaling), steps(*parts), replicas=2)
    missing = [set(signals) for signals in lost]
    for i in range(len(rates)):
        if missing:
            world.lost = missing[i]
        world.run(10.0 * (i + 1))
    return world


@settings(deadline=None, max_examples=60)
@given(RATES, LOST, st.integers(0, 2), st.integers(2, 6))
def test_the_count_is_always_in_bounds_and_never_falls_while_demand_is_unknown(
    rates: list[float], lost: list[set[Signal]], minimum: int, maximum: int
) -> None:
    world = history(rates, lost, min=minimum, max=maximum, cool_in_s=10)
    for decision in world.decisions:
        assert minimum <= decision.desired <= maximum
        if decision.desired < decision.current:
            assert {"requests_per_s"} <= set(decision.seen)
    assert len(world.state.guard.needs) <= maximum + 8


@settings(deadline=None, max_examples=40)
@given(RATES, st.sets(st.sampled_from(REQUIRED), min_size=1))
def test_losing_signals_never_reduces_a_count(rates: list[float], lost: set[Signal]) -> None:
    """The same past, then one decision with and one without: without never goes below what is there."""
    world = history([30.0, 60.0, *rates, 5.0], cool_in_s=10)
    current = world.desired
    world.lost = lost
    seen = world.seen()
    if not set(lost) & {Signal.DEMAND, Signal.QUEUE, Signal.HELD} and not seen.ready:
        return
    decision, _ = world.policy.decide(world.state, seen, now_s=world.now_s)
    assert decision.desired >= current


@settings(deadline=None, max_examples=40)
@given(RATES, st.floats(1, 4))
def test_more_of_the_same_demand_never_needs_fewer(rates: list[float], times: float) -> None:
    """All of the past counts: of two that end alike, the one that rose more needs more."""

    def needed(times: float) -> float:
        world = history([times * rate for rate in rates], max=1000)
        return world.policy.decide(world.state, world.seen(), now_s=world.now_s)[0].figures["forecast"]

    assert needed(times) >= needed(1.0) - 1e-6


@settings(deadline=None, max_examples=20)
@given(RATES)
def test_the_same_history_gives_the_same_decisions(rates: list[float]) -> None:
    assert history(rates).decisions == history(rates).decisions


@pytest.mark.parametrize("interval_s", [1.0, 2.0, 5.0, 10.0, 15.0])
def test_another_interval_changes_no_delay(interval_s: float) -> None:
    """Scale-in comes a cool-in after the demand fell, to within one look, however often one looks."""
    falls = steps((0, 130), (300, 5))
    world = PoolWorld(deployment(cool_in_s=60, interval_s=interval_s), falls, replicas=4).run(700)
    ways_in = [at_s for at_s, a, b in world.changes if b < a]
    assert 360 - interval_s <= ways_in[0] <= 300 + 30 + 60 + interval_s  # the level is a mean of 30 s
    assert all(60 <= later - earlier < 60 + interval_s for earlier, later in itertools.pairwise(ways_in))
