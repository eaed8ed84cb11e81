"""What a forecast's margin proved to be worth: scored afterwards, and taken from then on."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.autoscale.coverage import Coverage, share_of

LEAD_S, QUANTILE = 120.0, 0.99


def after(
    rates: list[float], *, level: float = 10.0, margin: float = 10.0, held_s: float = 60.0, late: int = 0
) -> Coverage:
    """Three looks a minute, that all forecast the same; a replica carries 1 request/s; each `late`th minute is late."""
    coverage = Coverage()
    for look in range(3 * len(rates) + 1):
        coverage = coverage.looked(
            level,
            margin,
            now_s=20.0 * look,
            rate_since=lambda since_s: rates[round(since_s / 60)],
            per_replica=1.0,
            late=bool(late) and look // 3 % late == 0,
            lead_s=LEAD_S,
            held_s=held_s,
            quantile=QUANTILE,
        )
    return coverage


def test_all_of_the_margin_is_taken_until_the_quantile_can_be_known() -> None:
    """Of 100 minutes the first three were asked for by nobody; 98 scores say nothing yet of 1 in 100."""
    assert after([10.0] * 101).share == 1.0
    assert after([10.0] * 102).share < 1.0


def test_of_a_margin_that_is_never_needed_none_is_taken() -> None:
    assert after([10.0] * 300).share == 0.0


def test_what_is_needed_more_often_than_the_quantile_allows_is_kept() -> None:
    """15 requests/s in every fiftieth minute: 14 and a little more ask for 15 replicas, so 0.4 of the margin."""
    assert after([15.0 if minute % 50 == 0 else 10.0 for minute in range(600)]).share == pytest.approx(0.4, abs=0.002)
    assert after([15.0 if minute % 200 == 0 else 10.0 for minute in range(600)]).share == 0.0


def test_what_nobody_could_foresee_is_no_reason_for_more_than_the_margin() -> None:
    assert after([500.0 if minute % 50 == 0 else 10.0 for minute in range(600)]).share == 1.0


def test_minutes_that_missed_their_targets_needed_all_of_it_whatever_their_demand() -> None:
    assert after([10.0] * 600, late=50).share == 1.0
    assert after([10.0] * 600, late=200).share == 0.0


@given(st.lists(st.floats(0, 0.9), min_size=1, max_size=400), st.floats(0.8, 0.999))
def test_of_the_minutes_seen_no_more_would_be_missed_than_the_quantile_allows(
    scores: list[float], quantile: float
) -> None:
    share = share_of(scores, quantile)
    assert sum(score > share for score in scores) <= (1 - quantile) * (len(scores) + 1)


def test_minutes_to_come_are_missed_as_seldom_as_the_quantile_says() -> None:
    """A margin of 10 where demand is 10 to 16, evenly: about six tenths of it, and one minute in 100 above."""
    draw = Random(4)
    share = after([10 + 6 * draw.random() for _ in range(1400)]).share
    missed = sum(math.ceil(10 + 6 * draw.random()) > math.ceil(10 + 10 * share) for _ in range(20_000)) / 20_000
    assert missed <= 0.02
    assert share < 0.62


def test_a_minute_that_nobody_looked_at_is_not_scored_and_memory_is_bounded() -> None:
    coverage = after([10.0] * 2000)
    assert len(coverage.scores) == 1440
    gap = coverage.looked(
        10.0,
        1.0,
        now_s=1e6,
        rate_since=lambda since_s: 99.0,
        per_replica=1.0,
        late=False,
        lead_s=LEAD_S,
        held_s=60.0,
        quantile=QUANTILE,
    )
    assert gap.scores == coverage.scores
    assert len(gap.made) < 200
