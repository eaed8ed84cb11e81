"""Level, trend, spread and noise of demand, one lead time ahead."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.autoscale.forecast import MAX_POINTS, Forecast, Point, extremes, forecast, remember

QUANTILE = 0.95


def seen(*rates: float, every_s: float = 5.0) -> tuple[Point, ...]:
    history: tuple[Point, ...] = ()
    for i, rate in enumerate(rates):
        history = remember(history, i * every_s, rate)
    return history


def look(history: tuple[Point, ...], horizon_s: float = 15.0, latest_s: float = 5.0) -> Forecast:
    now_s = history[-1].at_s
    return forecast(history, history[-1].rate, latest_s=latest_s, now_s=now_s, horizon_s=horizon_s, quantile=QUANTILE)


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
    ahead = look(seen(*([10.0] * 9 + [40.0]) * 12, *[10.0] * 4))
    assert ahead.level < 20
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
    assert look(history, 10).upper <= look(history, 60).upper <= look(history, 120).upper


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


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 500), min_size=1, max_size=200),
    st.floats(0, 500),
    st.floats(1, 600),
)
def test_more_demand_now_never_forecasts_less(rates: list[float], more: float, horizon_s: float) -> None:
    history = seen(*rates)
    raised = (*history[:-1], Point(history[-1].at_s, history[-1].rate + more))
    assert look(raised, horizon_s).upper >= look(history, horizon_s).upper - 1e-6


@settings(deadline=None)
@given(st.lists(st.floats(0, 500), min_size=1, max_size=200), st.floats(1, 3600))
def test_the_forecast_never_lies_below_the_level(rates: list[float], horizon_s: float) -> None:
    ahead = look(seen(*rates), horizon_s)
    assert ahead.upper >= ahead.level >= 0
