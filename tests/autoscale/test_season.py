"""Seasons learnt from days: which shape counts, what a rare rise is worth, and how much is missed for it."""

import math
from random import Random

import pytest
from pool_world import PoolWorld, deployment

from penstock.autoscale.long_history import DAY, HOUR, MINUTE_S, UNKNOWN, LongHistory
from penstock.autoscale.planner import PlannerPolicy
from penstock.autoscale.season import Season, learn

BUDGET = 0.01
OPENS = 8 * HOUR


def business(minute: int) -> float:
    """Nobody at night, 20 requests/s from 8 to 18 o'clock."""
    return 20.0 if OPENS <= minute % DAY < 18 * HOUR else 0.0


def learnt(minutes: list[float], *, lead_s: float = 480.0) -> Season:
    season = learn(LongHistory.of(minutes), lead_s=lead_s, held_s=0.6 * lead_s, budget=BUDGET)
    assert season is not None
    return season


def rise(season: Season, level: float, minute: float, *, horizon_s: float = 485.0) -> float:
    return season.rise(level, level, now_s=minute * MINUTE_S, horizon_s=horizon_s, dispersed=1.0)


def test_what_begins_every_morning_is_expected_one_lead_time_before() -> None:
    season = learnt([business(minute) for minute in range(2 * DAY)])
    assert season.name != "flat"
    assert rise(season, 0.0, OPENS - 7) > 15
    assert rise(season, 0.0, OPENS - 60) < 1
    assert rise(season, 20.0, OPENS + 60) < 1


def test_a_day_that_is_busier_than_those_before_is_so_at_every_hour() -> None:
    shape = [10 - 5 * math.cos(2 * math.pi * minute / DAY) for minute in range(2 * DAY)]
    season = learnt(shape, lead_s=3600)
    usual, busier = rise(season, 10, 6 * HOUR, horizon_s=3600), rise(season, 13, 6 * HOUR, horizon_s=3600)
    assert busier == pytest.approx(1.3 * usual, rel=0.35)


def test_without_a_whole_day_nothing_is_learnt() -> None:
    assert learn(LongHistory.of([5.0] * (DAY - 1)), lead_s=60, held_s=60, budget=BUDGET) is None
    assert learn(LongHistory.of([0.0] * 2 * DAY), lead_s=60, held_s=60, budget=BUDGET) is None


def test_a_shape_that_is_not_there_is_not_learnt() -> None:
    draw = Random(3)
    assert learnt([10 * math.exp(draw.gauss(0, 0.1)) for _ in range(3 * DAY)]).name == "flat"


def test_weekends_count_once_two_weeks_are_known() -> None:
    """Sixteen days, the first a Monday; so the run, and its clock, begin with a Wednesday. A start takes two hours."""
    minutes = [business(minute) * (minute // DAY % 7 < 5) for minute in range(16 * DAY)]
    season = learnt(minutes, lead_s=7200)
    assert season.name == "week"
    saturday = 3 * DAY
    assert rise(season, 0.0, OPENS - 100, horizon_s=7200) > 15
    assert rise(season, 0.0, saturday + OPENS - 100, horizon_s=7200) < 1


def spiky(days: int, seed: int) -> list[float]:
    """Two requests/s by night and 20 by day, and now and then three times as many for five minutes."""
    draw, minutes, left = Random(seed), [], 0
    for minute in range(days * DAY):
        if left == 0 and draw.random() < 1 / 150:
            left = 5
        left = max(0, left - 1)
        minutes.append((2.0 if minute % DAY < DAY // 2 else 20.0) * (3.0 if left else 1.0))
    return minutes


def test_rare_rises_are_provisioned_for_where_that_is_cheap_and_let_pass_where_it_is_dear() -> None:
    season = learn(LongHistory.of(spiky(4, 1)), lead_s=60, held_s=60, budget=0.008)
    assert season is not None
    assert rise(season, 2.0, 3 * HOUR, horizon_s=65) > 3
    assert rise(season, 20.0, 15 * HOUR, horizon_s=65) < 10


def test_who_stands_higher_than_ever_is_not_expected_to_rise_as_others_did() -> None:
    season = learnt(spiky(2, 2))
    assert rise(season, 200.0, 15 * HOUR) == 0


def test_minutes_without_data_teach_nothing() -> None:
    minutes = [business(minute) for minute in range(2 * DAY)]
    for minute in range(DAY + OPENS - 30, DAY + OPENS + 30):
        minutes[minute] = UNKNOWN
    assert rise(learnt(minutes), 0.0, OPENS - 7) > 15


def test_a_planner_that_knows_the_days_before_is_ready_when_the_morning_comes() -> None:
    """The run begins at 7:40; at 8 o'clock come 80 requests/s, on replicas of 40 that take three minutes to start."""
    start, history = OPENS - 20, [4 * business(minute) for minute in range(2 * DAY + OPENS - 20)]

    def late(before: LongHistory) -> float:
        spec = deployment(max=8)
        world = PoolWorld(spec, lambda at_s: 4 * business(start + int(at_s // MINUTE_S)), lead_s=180, measured_over_s=5)
        component = spec.components[0]
        scaling = component.autoscaling.model_copy(update={"seasons": True})
        world.policy = PlannerPolicy.of(spec, component, scaling, before=before)
        world.state = world.policy.initial_state()
        return world.run(3600).late_s

    assert late(LongHistory.of(history)) == 0
    assert late(LongHistory()) > 100
