"""A line through the last minutes: believed if it climbs clearly and a step would fit worse."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.autoscale.demand_history import CELL_S
from penstock.autoscale.trend import trend

LEAD_S = 480.0


def noisy(rates: list[float], seed: int) -> list[float]:
    """Levels of 30 s under Poisson arrivals of these rates."""
    draw = Random(seed)
    return [max(0.0, draw.gauss(rate, (rate / 30) ** 0.5)) for rate in rates]


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_climb_is_seen_through_the_noise(seed: int) -> None:
    """From 2 to 20 requests/s in two hours, after its first half hour: 1.2 more within eight minutes."""
    levels = noisy([2 + 0.0025 * CELL_S * cell for cell in range(240)], seed)
    seen = [trend(levels[:now], horizon_s=LEAD_S, dispersed=1.0) for now in range(120, 240)]
    assert sum(each > 0 for each in seen) > 0.8 * len(seen)
    assert sum(seen) / len(seen) == pytest.approx(0.0025, rel=0.25)


def test_constant_demand_has_no_trend_however_it_scatters() -> None:
    alarms = looks = 0
    for seed in range(10):
        levels = noisy([10.0] * 300, seed)
        for now in range(80, 300):
            alarms += trend(levels[:now], horizon_s=LEAD_S, dispersed=1.0) > 0
            looks += 1
    assert alarms < 0.02 * looks


@given(st.floats(0, 20), st.floats(0.5, 200), st.integers(1, 200), st.sampled_from([60.0, 180.0, 480.0]))
def test_a_step_is_no_trend_however_long_ago(before: float, up: float, since: int, lead_s: float) -> None:
    assert trend([before] * 200 + [before + up] * since, horizon_s=lead_s, dispersed=1.0) == 0


def test_what_scatters_more_must_climb_more_clearly() -> None:
    levels = [5 + 0.05 * cell for cell in range(80)]
    assert trend(levels, horizon_s=LEAD_S, dispersed=1.0) == pytest.approx(0.05 / CELL_S)
    assert trend(levels, horizon_s=LEAD_S, dispersed=16.0) == 0
    assert trend(levels[:5], horizon_s=LEAD_S, dispersed=1.0) == 0
