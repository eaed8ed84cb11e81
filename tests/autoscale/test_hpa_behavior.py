"""Windows, rate limits and bounds of a HorizontalPodAutoscaler: the facts, one by one."""

import pytest

from penstock.autoscale.hpa_behavior import (
    Normalized,
    Recommendation,
    ScaleEvent,
    normalize,
    remembered,
    settled,
    with_event,
)
from penstock.messages.decision import LimitedBy
from penstock.messages.scaling_spec import Behavior

NOW_S = 1000.0


def rules(**fields: object) -> Behavior:
    return Behavior.model_validate(fields)


def norm(
    behavior: Behavior | None,
    proposal: int,
    current: int,
    *,
    before: tuple[tuple[float, int], ...] = (),
    up: tuple[tuple[float, int], ...] = (),
    down: tuple[tuple[float, int], ...] = (),
    bounds: tuple[int, int] = (1, 100),
    now_s: float = NOW_S,
) -> Normalized:
    return normalize(
        settled(behavior),
        [Recommendation(now_s - age, n) for age, n in before],
        [ScaleEvent(now_s - age, n) for age, n in up],
        [ScaleEvent(now_s - age, n) for age, n in down],
        proposal,
        current=current,
        minimum=bounds[0],
        maximum=bounds[1],
        now_s=now_s,
    )


def test_without_behavior_down_is_the_highest_of_five_minutes() -> None:
    result = norm(None, 1, 4, before=((299, 4), (100, 2)))
    assert (result.replicas, result.limited_by) == (4, LimitedBy.STABILIZATION)


def test_without_behavior_a_recommendation_exactly_five_minutes_old_still_counts() -> None:
    assert norm(None, 1, 4, before=((300, 4),)).replicas == 4
    assert norm(None, 1, 4, before=((300.001, 4),)).replicas == 1


def test_with_behavior_a_recommendation_exactly_a_window_old_no_longer_counts() -> None:
    assert norm(Behavior(), 1, 4, before=((300, 4),)).replicas == 1
    assert norm(Behavior(), 1, 4, before=((299.999, 4),)).replicas == 4


@pytest.mark.parametrize(("current", "expected"), [(1, 4), (2, 4), (3, 6), (10, 20)])
def test_without_behavior_a_sync_at_most_doubles_or_goes_to_four(current: int, expected: int) -> None:
    result = norm(None, 99, current)
    assert (result.replicas, result.limited_by) == (expected, LimitedBy.RATE)


@pytest.mark.parametrize(("current", "expected"), [(1, 5), (3, 7), (4, 8), (10, 20)])
def test_default_behavior_adds_four_pods_or_doubles_whichever_is_more(current: int, expected: int) -> None:
    """Null behaviour and the default behaviour are not the same: from 1 it is 4 there and 5 here."""
    assert norm(Behavior(), 99, current).replicas == expected


def test_default_behavior_takes_its_base_from_the_start_of_the_period() -> None:
    """8 now, 4 of them added 10 s ago: the period began with 4, so 8 is the limit still."""
    result = norm(Behavior(), 99, 8, up=((10, 4),))
    assert (result.replicas, result.limited_by) == (8, LimitedBy.RATE)


def test_an_event_exactly_one_period_old_no_longer_counts() -> None:
    assert norm(Behavior(), 99, 8, up=((15, 4),)).replicas == 16
    assert norm(Behavior(), 99, 8, up=((14.999, 4),)).replicas == 8


def test_removed_pods_count_towards_the_base() -> None:
    """4 now, 4 removed 10 s ago: the base is 8, so 16 may be."""
    assert norm(Behavior(), 99, 4, down=((10, 4),)).replicas == 16


def test_the_limit_never_turns_a_direction() -> None:
    """10 pods added in a period that allows one: it stays, it does not shrink."""
    policy = rules(scale_up={"policies": [{"type": "Pods", "value": 1, "period_s": 60}]})
    assert norm(policy, 99, 20, up=((10, 10),)).replicas == 20


def test_down_percent_is_cut_and_up_percent_rounded_up() -> None:
    half = {"policies": [{"type": "Percent", "value": 50, "period_s": 60}]}
    policy = rules(scale_up=half, scale_down={**half, "stabilization_window_s": 0})
    assert norm(policy, 99, 5).replicas == 8
    assert norm(policy, 0, 5, bounds=(0, 99)).replicas == 2


@pytest.mark.parametrize(("select", "expected"), [("Max", 14), ("Min", 11), ("Disabled", 10)])
def test_select_policy_picks_among_the_limits_up(select: str, expected: int) -> None:
    policies = [{"type": "Pods", "value": 4, "period_s": 60}, {"type": "Percent", "value": 10, "period_s": 60}]
    assert norm(rules(scale_up={"select_policy": select, "policies": policies}), 99, 10).replicas == expected


@pytest.mark.parametrize(("select", "expected"), [("Max", 6), ("Min", 9), ("Disabled", 10)])
def test_select_policy_picks_among_the_limits_down(select: str, expected: int) -> None:
    policies = [{"type": "Pods", "value": 4, "period_s": 60}, {"type": "Percent", "value": 10, "period_s": 60}]
    down = {"select_policy": select, "policies": policies, "stabilization_window_s": 0}
    assert norm(rules(scale_down=down), 1, 10).replicas == expected


@pytest.mark.parametrize("kind", ["Pods", "Percent"])
def test_the_largest_policy_there_is_lets_nothing_scale_up(kind: str) -> None:
    """Meant as "no limit", but the controller's sum of 32 bits wraps around below the count."""
    behavior = rules(scale_up={"policies": [{"type": kind, "value": 2**31 - 1, "period_s": 15}]})
    assert norm(behavior, 100, 120, bounds=(1, 200)).replicas == 100  # down is another direction
    assert norm(behavior, 150, 120, bounds=(1, 200)).replicas == 120
    large = rules(scale_up={"policies": [{"type": kind, "value": 10_000, "period_s": 15}]})
    assert norm(large, 150, 120, bounds=(1, 200)).replicas == 150


def test_up_takes_the_lowest_of_its_window() -> None:
    policy = rules(scale_up={"stabilization_window_s": 60})
    assert norm(policy, 9, 3, before=((30, 4),)).replicas == 4
    assert norm(policy, 9, 3, before=((30, 2),)).replicas == 3
    assert norm(policy, 5, 3, before=((61, 2),)).replicas == 5


def test_bounds_come_last_and_say_so() -> None:
    assert norm(None, 9, 4, bounds=(1, 6)) == Normalized(replicas=6, stabilized=9, limited_by=LimitedBy.MAX)
    assert norm(None, 1, 4, bounds=(2, 6)) == Normalized(replicas=2, stabilized=1, limited_by=LimitedBy.MIN)
    assert norm(Behavior(), 7, 4, bounds=(1, 6)).limited_by is LimitedBy.MAX
    assert norm(Behavior(), 1, 4, bounds=(2, 6)).limited_by is LimitedBy.MIN


def test_a_missing_direction_takes_the_defaults() -> None:
    behaviors = settled(rules(scale_up={"select_policy": "Min"}))
    assert behaviors is not None
    assert (behaviors.down.window_s, behaviors.up.window_s) == (300.0, 0.0)
    assert len(behaviors.up.policies) == 2


def test_an_outdated_recommendation_is_overwritten() -> None:
    old = [Recommendation(NOW_S - 300, 4), Recommendation(NOW_S - 301, 5)]
    assert [r.replicas for r in remembered(None, old, 2, now_s=NOW_S)] == [4, 2]
    assert [r.replicas for r in remembered(settled(Behavior()), old, 2, now_s=NOW_S)] == [4, 2]
    assert [r.replicas for r in remembered(None, old[:1], 2, now_s=NOW_S)] == [4, 2]


def test_an_outdated_recommendation_counts_again_if_the_window_grows() -> None:
    """As the controller does it: of two outdated ones only the last is overwritten; the other is still there."""
    short, long = settled(rules(scale_down={"stabilization_window_s": 0})), settled(Behavior())
    old = [Recommendation(NOW_S - 30, 9), Recommendation(NOW_S - 15, 8)]
    kept = remembered(short, old, 1, now_s=NOW_S)
    after = normalize(long, kept, (), (), 1, current=9, minimum=1, maximum=9, now_s=NOW_S + 15)
    assert (after.replicas, after.limited_by) == (9, LimitedBy.STABILIZATION)


def test_an_outdated_event_is_overwritten_though_the_other_direction_may_count_it() -> None:
    """As the controller does it: the place of an event older than its own longest period is used again."""
    behaviors = settled(Behavior())
    assert behaviors is not None
    events = with_event((ScaleEvent(NOW_S - 16, 3),), 1, behaviors.down, now_s=NOW_S)
    assert events == (ScaleEvent(NOW_S, 1),)
    events = with_event((ScaleEvent(NOW_S - 15, 3),), 1, behaviors.down, now_s=NOW_S)
    assert events == (ScaleEvent(NOW_S - 15, 3), ScaleEvent(NOW_S, 1))
