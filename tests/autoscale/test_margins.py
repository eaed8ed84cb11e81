"""Margins over expected demand: the price keeps the budget, spends it, and no cheaper corner was passed over."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.autoscale.margins import Odds, cost_at, odds_of, price_for, price_held

RATIOS = st.lists(st.floats(0.1, 5.0), min_size=1, max_size=60)
SITUATIONS = st.lists(st.tuples(RATIOS.map(odds_of), st.floats(0.1, 100.0)), min_size=1, max_size=30)


def missed(met: list[tuple[Odds, float]], price: float) -> float:
    return sum(odds.left[odds.place(expected / price)] for odds, expected in met)


@given(RATIOS)
def test_each_margin_leaves_the_share_that_rose_beyond_it(ratios: list[float]) -> None:
    odds = odds_of(list(ratios))
    for margin, left in zip(odds.margins, odds.left, strict=True):
        assert abs(left - sum(ratio > margin for ratio in ratios) / len(ratios)) < 1e-9
    assert odds.left[-1] == 0
    assert list(odds.worth) == sorted(odds.worth)


@given(RATIOS, st.floats(0.001, 1000))
def test_the_corner_that_is_chosen_is_the_cheapest(ratios: list[float], dear: float) -> None:
    odds = odds_of(list(ratios))
    place = odds.place(dear)
    costs = [dear * margin + left for margin, left in zip(odds.margins, odds.left, strict=True)]
    assert costs[place] <= min(costs) + 1e-9 * max(costs)


@given(SITUATIONS, st.floats(0.01, 0.5))
def test_no_more_is_missed_than_the_budget(met: list[tuple[Odds, float]], budget: float) -> None:
    assert missed(met, price_for(met, budget)) <= budget * len(met) + 1e-9


@given(SITUATIONS, st.floats(0.01, 0.2))
def test_a_larger_budget_never_costs_more(met: list[tuple[Odds, float]], budget: float) -> None:
    assert cost_at(met, price_for(met, 2 * budget)) <= cost_at(met, price_for(met, budget)) + 1e-9


def test_the_same_rise_is_covered_where_it_is_cheap() -> None:
    odds = odds_of([1.0] * 98 + [3.0] * 2)
    met = [(odds, 1.0), (odds, 20.0)]
    price = price_for(met, 0.01)  # of the two shares of 2 %, one may be missed
    assert odds.margins[odds.place(1.0 / price)] == 3.0
    assert odds.margins[odds.place(20.0 / price)] == 1.0


@given(SITUATIONS, st.data())
def test_what_is_held_is_counted_and_lowers_the_price_no_further_than_the_budget(
    met: list[tuple[Odds, float]], data: st.DataObject
) -> None:
    """Every demand is one of its situation's ratios; whoever holds for n looks has the highest of n."""
    budget, held = data.draw(st.floats(0.0, 0.3)), data.draw(st.integers(1, 5))
    played = [(odds, expected, expected * data.draw(st.sampled_from(odds.margins))) for odds, expected in met]
    highest = max(expected for _, expected in met) * 1e6

    def missed_at(price: float, held: int) -> int:
        ready = [expected * odds.margins[odds.place(expected / price)] for odds, expected, _ in played]
        return sum(came > max(ready[max(0, k - held + 1) : k + 1]) for k, (_, _, came) in enumerate(played))

    price = price_held(played, held=held, budget=budget, highest=highest)
    assert price <= highest * (1 + 1e-9)
    assert missed_at(price, held) <= max(budget * len(played), missed_at(highest, held))
    assert price_held(played, held=held + 1, budget=budget, highest=highest) <= price * (1 + 1e-9)
