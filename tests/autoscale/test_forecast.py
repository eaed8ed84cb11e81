"""Level, trend, spread and noise of demand, one lead time ahead, from what was seen and remembered."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.autoscale.demand_history import (
    MAX_CELLS,
    MAX_POINTS,
    Past,
    Point,
    dispersion,
    extremes,
    lengthen,
    remember,
)
from penstock.autoscale.forecast import Forecast, forecast, level_now
from penstock.autoscale.rises import rise
from penstock.autoscale.trend import trend

QUANTILE = 0.95


def past_of(history: tuple[Point, ...]) -> Past:
    past = Past()
    for i in range(len(history)):
        past = lengthen(past, history[: i + 1])
    return past


def seen(*rates: float, every_s: float = 5.0) -> tuple[Point, ...]:
    history: tuple[Point, ...] = ()
    for i, rate in enumerate(rates):
        history = remember(history, i * every_s, rate)
    return history


def look(history: tuple[Point, ...], horizon_s: float = 15.0, latest_s: float = 5.0) -> Forecast:
    now_s = history[-1].at_s
    level = level_now(history, history[-1].rate, latest_s=latest_s, now_s=now_s, dispersed=1.0)
    past = past_of(history)
    spread = rise(past, level, horizon_s=horizon_s, quantile=QUANTILE, dispersed=1.0)
    growing_per_s = trend(past.levels, horizon_s=horizon_s, dispersed=1.0)
    return forecast(level, growing_per_s, spread, horizon_s=horizon_s, quantile=QUANTILE)


def test_constant_demand_forecasts_itself_and_its_noise() -> None:
    ahead = look(seen(*[10.0] * 100))
    assert (ahead.level, ahead.trend_per_s, ahead.spread) == (10, 0, 0)
    assert 10.5 < ahead.upper < 11


def test_what_is_noise_over_two_seconds_is_a_burst_over_ten() -> None:
    """Five a second give 16 requests in 2 s now and then, but never 80 in 10 s."""
    history = seen(*[5.0] * 20, 8.0)
    assert look(history, latest_s=2.0).level < 6
    assert look(history, latest_s=10.0).level == 8


def test_a_burst_counts_at_once() -> None:
    assert look(seen(*[10.0] * 20, 30.0)).level == 30


def test_noise_does_not_count_as_a_burst() -> None:
    """10 a second over 10 s scatter by 1; two deviations are everyday."""
    assert look(seen(*[10.0] * 20, 12.0)).level < 10.5


def test_the_first_burst_is_not_taken_for_the_rule() -> None:
    ahead = look(seen(*[10.0] * 12, *[90.0] * 3))
    assert ahead.spread == 0
    assert ahead.upper < 100


def test_bursts_that_come_again_and_again_are_expected_again() -> None:
    ahead = look(seen(*([10.0] * 48 + [40.0] * 12) * 5, *[10.0] * 10), horizon_s=60.0)
    assert ahead.level == 10
    assert ahead.upper > 35


def test_a_ramp_is_extrapolated_over_the_horizon() -> None:
    """One request a second more every 5 s: over 60 s that is 12 more."""
    ahead = look(seen(*[float(i) for i in range(200)]), horizon_s=60)
    assert 0.19 < ahead.trend_per_s < 0.21
    assert 205 < ahead.upper < 225


def test_a_step_is_never_taken_for_a_trend() -> None:
    for since in range(1, 60):
        ahead = look(seen(*[10.0] * 100, *[90.0] * since), horizon_s=120)
        assert ahead.trend_per_s == 0


def test_a_fall_is_not_extrapolated() -> None:
    ahead = look(seen(*[float(200 - i) for i in range(150)]), horizon_s=60)
    assert ahead.trend_per_s == 0
    assert ahead.upper >= 50


def test_a_longer_lead_time_covers_more() -> None:
    history = seen(*([10.0] * 20 + [30.0] * 20) * 3)
    rounding = 0.1  # more chance is taken off a longer horizon
    assert look(history, 10).upper <= look(history, 60).upper <= look(history, 120).upper + rounding


def test_samples_of_one_bucket_are_averaged_so_that_the_period_of_looking_does_not_matter() -> None:
    def ramp(every_s: float) -> tuple[Point, ...]:
        history: tuple[Point, ...] = ()
        for i in range(int(300 / every_s) + 1):
            history = remember(history, i * every_s, 20 + i * every_s / 10)
        return history

    often, seldom = look(ramp(1.0)), look(ramp(5.0))
    assert abs(often.upper - seldom.upper) < 2


def test_the_history_is_bounded() -> None:
    history = seen(*[1.0] * (MAX_POINTS + 500))
    assert len(history) == MAX_POINTS


def test_a_sample_seen_twice_counts_once() -> None:
    history = seen(10.0, 10.0)
    assert remember(history, 5.0, 99.0) == history


def test_extremes_are_of_the_given_past() -> None:
    history = seen(1.0, 9.0, 4.0, 5.0)
    assert extremes(history, since_s=5.0) == (4, 5)
    assert extremes(history, since_s=99.0) is None


def test_who_stands_at_the_top_of_a_pattern_does_not_expect_to_climb_it_again() -> None:
    """Ten minutes at 10, ten at 40, again and again: at 10 the rise of 30 is expected, at 40 nothing is."""
    ups_and_downs = seen(*([10.0] * 120 + [40.0] * 120) * 3)
    at_the_top = look(ups_and_downs, horizon_s=60)
    assert at_the_top.level == 40
    assert at_the_top.upper < 44
    below = (*ups_and_downs, *[Point(ups_and_downs[-1].at_s + 5.0 * i, 10.0) for i in range(1, 30)])
    assert look(below[-700:], horizon_s=300).upper > 38


def test_the_past_is_kept_for_hours_and_bounded() -> None:
    history = seen(*[float(i) for i in range(MAX_POINTS)])
    past = Past()
    for place in range(3 * MAX_CELLS):
        past = lengthen(past, [Point(15.0 * place, float(place))])
    assert len(past.levels) == MAX_CELLS
    assert past.levels[-1] == 3 * MAX_CELLS - 1
    assert len(past_of(history).levels) == MAX_POINTS // 3


def test_a_gap_without_data_is_bridged_with_what_was_seen_after_it() -> None:
    past = lengthen(lengthen(Past(), [Point(0.0, 10.0)]), [Point(60.0, 30.0)])
    assert past.levels == (10.0, 30.0, 30.0, 30.0, 30.0)


@pytest.mark.parametrize("dispersed", [1.0, 4.0, 12.0])
def test_how_bursty_arrivals_are_is_measured(dispersed: float) -> None:
    """Batches of one size are Poisson arrivals whose variance is as many times larger."""
    draw, batch = Random(7), int(dispersed)
    history: tuple[Point, ...] = ()
    at_s, rates = 0.0, [0.0] * 720
    while (at_s := at_s + draw.expovariate(20 / batch)) < 3600:
        rates[int(at_s // 5)] += batch / 5
    for place, rate in enumerate(rates):
        history = remember(history, 5.0 * place, rate)
    assert dispersion(history) == pytest.approx(dispersed, rel=0.2)


def test_a_burst_among_many_is_no_new_level() -> None:
    history = seen(*[5.0] * 20, 15.0)
    assert level_now(history, 15.0, latest_s=5.0, now_s=100.0, dispersed=1.0) == 15
    assert level_now(history, 15.0, latest_s=5.0, now_s=100.0, dispersed=12.0) < 8


@settings(deadline=None)
@given(st.lists(st.floats(0, 500), min_size=1, max_size=200), st.floats(1, 3600))
def test_the_forecast_never_lies_below_the_level(rates: list[float], horizon_s: float) -> None:
    ahead = look(seen(*rates), horizon_s)
    assert ahead.upper >= ahead.level >= 0
