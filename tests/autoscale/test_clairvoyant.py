"""The clairvoyant bound: what it costs, what it may miss, and that nothing is cheaper."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.autoscale.clairvoyant import clairvoyant_bound


@pytest.mark.parametrize(
    ("need", "lead_s", "counts"),
    [
        ((1, 1, 1), 60, (1, 1, 1)),
        ((1, 3, 1), 60, (1, 3, 1)),
        ((2, 1, 2), 90, (2, 2, 2)),  # keeping one through a gap of 60 s is cheaper than a start of 90 s
        ((2, 1, 2), 30, (2, 1, 2)),
        ((0, 0, 2), 60, (0, 0, 2)),
        ((), 60, ()),
    ],
)
def test_a_replica_is_kept_through_a_gap_that_is_shorter_than_its_start(
    need: tuple[int, ...], lead_s: float, counts: tuple[int, ...]
) -> None:
    """Without misses, levels are independent: keep it, or pay the lead time again."""
    assert clairvoyant_bound(need, window_s=60, lead_s=lead_s, may_miss=0).counts == counts


def test_starts_are_paid_for() -> None:
    """Three replicas for one window: 3 windows of serving, 3 lead times of starting."""
    bound = clairvoyant_bound((0, 3, 0), window_s=60, lead_s=100, may_miss=0)
    assert (bound.serving_s, bound.starting_s, bound.total_s) == (180, 300, 480)


def test_the_dearest_windows_are_missed_first() -> None:
    """One of a hundred windows may be missed: the spike is."""
    need = [1] * 100
    need[40] = 9
    bound = clairvoyant_bound(need, window_s=60, lead_s=180, may_miss=0.01)
    assert bound.missed == 1
    assert max(bound.counts) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.sampled_from([0.0, 30.0, 61.0, 200.0]))
def test_nothing_is_cheaper(need: list[int], lead_s: float) -> None:
    """Against every possible sequence of counts."""
    bound = clairvoyant_bound(need, window_s=60, lead_s=lead_s, may_miss=0)
    cheapest = min(
        sum(counts) * 60 + sum(max(0, b - a) for a, b in zip((0, *counts), counts, strict=False)) * lead_s
        for counts in product(range(4), repeat=len(need))
        if all(have >= needed for have, needed in zip(counts, need, strict=True))
    )
    assert bound.total_s == pytest.approx(cheapest)
    assert bound.missed == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=10, max_size=80), st.sampled_from([0.05, 0.1, 0.3]))
def test_no_more_is_missed_than_allowed_and_more_misses_never_cost_more(need: list[int], may_miss: float) -> None:
    """The budget holds, and using it is never dearer than not to."""
    bound = clairvoyant_bound(need, window_s=60, lead_s=100, may_miss=may_miss)
    assert bound.missed <= may_miss * len(need) + 1e-9
    assert bound.total_s <= clairvoyant_bound(need, window_s=60, lead_s=100, may_miss=0).total_s
