"""Bounds, cool-in, cool-out, steps and missing data, without a planner around them; and the slow correction."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.autoscale.correction import FORGET_S, HIGHEST, LOWEST, Correction, Measured, correct
from penstock.autoscale.guardrails import Guarded, GuardState, Limits, guard
from penstock.messages.decision import LimitedBy

LIMITS = Limits(minimum=1, maximum=6, cool_in_s=60, cool_out_s=0, max_step_in=1)


class Pool:
    """A count under guard, asked every 10 s."""

    def __init__(self, current: int, limits: Limits = LIMITS) -> None:
        self.current, self.limits, self.state, self.now_s = current, limits, GuardState(), -10.0

    def need(self, need: int, need_now: int | None = None, blocked: LimitedBy | None = None) -> Guarded:
        self.now_s += 10
        guarded, self.state = guard(
            self.limits,
            self.state,
            current=self.current,
            need=need,
            need_now=need if need_now is None else need_now,
            blocked=blocked,
            now_s=self.now_s,
        )
        self.current = guarded.desired
        return guarded


def limits(**changes: float) -> Limits:
    fields = {"minimum": 1, "maximum": 6, "cool_in_s": 60, "cool_out_s": 0, "max_step_in": 1} | changes
    return Limits(**fields)  # type: ignore[arg-type]


def test_out_goes_at_once_and_to_the_maximum_at_most() -> None:
    assert Pool(1).need(4) == Guarded(desired=4, limited_by=LimitedBy.NONE)
    assert Pool(1).need(9) == Guarded(desired=6, limited_by=LimitedBy.MAX)


def test_in_waits_until_the_lower_need_has_held_for_a_cool_in() -> None:
    pool = Pool(4)
    pool.need(4)
    held = [pool.need(2) for _ in range(5)]
    assert {h.limited_by for h in held} == {LimitedBy.COOL_IN}
    assert [h.wait_s for h in held] == [50, 40, 30, 20, 10]
    assert pool.need(2) == Guarded(desired=3, limited_by=LimitedBy.RATE)


def test_one_high_need_starts_the_cool_in_anew() -> None:
    pool = Pool(4)
    for _ in range(5):
        pool.need(2)
    pool.need(4)
    assert [pool.need(2).desired for _ in range(6)] == [4, 4, 4, 4, 4, 3]


def test_in_stops_at_the_highest_need_of_the_cool_in() -> None:
    pool = Pool(6, limits(max_step_in=10))
    for need in (6, 3, 2, 2, 2, 2, 2):
        guarded = pool.need(need)
    assert guarded == Guarded(desired=3, limited_by=LimitedBy.NONE)


def test_each_step_in_waits_out_its_own_cool_in() -> None:
    pool = Pool(4)
    counts = [pool.need(1).desired for _ in range(20)]
    assert counts == [4] * 6 + [3] * 6 + [2] * 6 + [1] * 2


def test_a_scale_out_holds_off_the_way_in_too() -> None:
    pool = Pool(2)
    for _ in range(10):
        pool.need(2)
    pool.need(3)
    assert [pool.need(2).desired for _ in range(6)] == [3, 3, 3, 3, 3, 2]


def test_the_forecast_holds_what_would_do_now() -> None:
    assert Pool(3).need(3, need_now=2) == Guarded(desired=3, limited_by=LimitedBy.FORECAST)


def test_missing_data_blocks_the_way_in_only() -> None:
    pool = Pool(4)
    held = [pool.need(1, blocked=LimitedBy.MISSING_DATA) for _ in range(50)]
    assert {(h.desired, h.limited_by) for h in held} == {(4, LimitedBy.MISSING_DATA)}
    assert pool.need(5, blocked=LimitedBy.STALE_DATA).desired == 5


def test_the_cool_out_spaces_scale_outs_but_never_delays_waking() -> None:
    pool = Pool(1, limits(cool_out_s=30))
    assert [pool.need(n).desired for n in (2, 3, 3, 3)] == [2, 2, 2, 3]
    asleep = Pool(0, limits(minimum=0, cool_out_s=600))
    asleep.need(0)
    asleep.state = GuardState(last_out_s=0.0, asked=0)
    assert asleep.need(1).desired == 1


def test_outside_the_bounds_it_goes_to_the_bound_whatever_the_data() -> None:
    assert Pool(9).need(9, blocked=LimitedBy.MISSING_DATA) == Guarded(desired=6, limited_by=LimitedBy.MAX)
    assert Pool(0).need(0) == Guarded(desired=1, limited_by=LimitedBy.MIN)
    assert Pool(0).need(3).desired == 3


def test_a_change_that_somebody_else_made_starts_the_cool_in_anew() -> None:
    pool = Pool(2)
    for _ in range(10):
        pool.need(2)
    pool.current = 5
    assert [pool.need(2).desired for _ in range(7)] == [5] * 6 + [4]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.booleans()), max_size=60),
    st.integers(0, 3),
    st.integers(3, 8),
    st.integers(1, 4),
)
def test_bounds_steps_and_memory_hold_always(
    needs: list[tuple[int, int, bool]], minimum: int, maximum: int, step: int
) -> None:
    pool = Pool(minimum, limits(minimum=minimum, maximum=maximum, max_step_in=step, cool_in_s=30))
    last_in_s = -1000.0
    for need, now, missing in needs:
        before = pool.current
        guarded = pool.need(need, min(now, need), LimitedBy.MISSING_DATA if missing else None)
        assert minimum <= guarded.desired <= maximum
        assert guarded.desired >= before - step
        if guarded.desired < before:
            assert not missing
            assert pool.now_s - last_in_s >= 30
            last_in_s = pool.now_s
        kept = [n.replicas for n in pool.state.needs]
        assert kept == sorted(set(kept), reverse=True)


def learn(looks: int, *, load: float, held: bool, waiting: float = 0.0, grows: float = 0.0) -> Correction:
    correction = Correction()
    for i in range(looks):
        measured = Measured(steady=True, loads=(load, load), held=held, waiting=waiting + grows * i)
        correction = correct(correction, measured, now_s=5.0 * i)
    return correction


def test_targets_missed_for_long_without_a_queue_sink_the_factor_to_less_than_the_load() -> None:
    assert learn(12, load=0.7, held=False).factor == 1  # not settled
    assert 0.9 * 0.7 < learn(200, load=0.7, held=False).factor <= 0.7 / 0.9
    assert learn(100, load=0.95, held=False).factor == 1  # just at capacity misses are no news


def test_a_growing_queue_teaches_soon_and_a_shrinking_one_nothing() -> None:
    assert learn(8, load=0.6, held=False, grows=10).factor < 0.75
    assert learn(100, load=0.6, held=False, waiting=1000, grows=-5).factor == 1


def test_more_than_the_rehearsed_load_held_raises_the_factor_to_it() -> None:
    assert learn(200, load=1.2, held=True).factor == pytest.approx(1.2, abs=0.01)


def test_the_factor_is_bounded() -> None:
    assert learn(500, load=0.1, held=False).factor == LOWEST
    assert learn(500, load=9.0, held=True).factor == HIGHEST


def test_the_factor_drifts_back_over_hours() -> None:
    correction = Correction(factor=0.6, at_s=0.0, steady_since_s=0.0)
    calm = Measured(steady=True, loads=(0.3, 0.3), held=True, waiting=0.0)
    at_s = 0.0
    while at_s < FORGET_S:
        at_s += 5
        correction = correct(correction, calm, now_s=at_s)
    assert 0.8 < correction.factor < 0.9


@pytest.mark.parametrize(
    "measured",
    [
        Measured(steady=False, loads=(0.5, 0.5), held=False, waiting=0.0),
        Measured(steady=True, loads=None, held=False, waiting=0.0),
        Measured(steady=True, loads=(0.5, 0.5), held=None, waiting=0.0),
    ],
)
def test_nothing_is_learnt_from_a_pool_that_moves_or_says_nothing(measured: Measured) -> None:
    correction = Correction()
    for i in range(200):
        correction = correct(correction, measured, now_s=5.0 * i)
    assert correction.factor == 1
