"""The ranking's rule, as an order and as a sentence."""

import itertools

from penstock.messages.result import GpuHours, Latency, Requests, Result, SloResult, Tokens
from penstock.telemetry.ranking import Spent, rank, ranking_sentence, standing

NONE = Latency(mean=None, p50=None, p95=None, p99=None)
OPTIMUM = Spent(gpu_hours=1.0, cost_usd=7.0)


def result(attainment: float, hours: float, *, cost_usd: float | None = None) -> Result:
    return Result(
        requests=Requests(offered=1, completed=1, rejected=0, failed=0),
        ttft_s=NONE,
        itl_s=NONE,
        e2e_s=NONE,
        tokens=Tokens(prompt=1, prompt_cached=0, output=1),
        slo=SloResult(
            ttft_s=1,
            itl_s=1,
            percentile=95,
            window_s=60,
            windows=100,
            windows_met=round(100 * attainment),
            attainment=attainment,
            requests_met=attainment,
        ),
        gpu_hours=GpuHours(total=hours, serving=hours, starting=0, warm=0, draining=0),
        cost_usd=cost_usd if cost_usd is not None else 7 * hours,
        scale_events=3,
    )


RESULTS = {
    "dear": result(1.0, 3.0),
    "cheap": result(0.99, 1.5),
    "late": result(0.9, 0.5),
    "later": result(0.5, 0.4),
}


def test_enough_first_by_cost_then_the_others_by_attainment() -> None:
    """Whatever the order in which they are given."""
    for order in itertools.permutations(RESULTS):
        ranked = rank({name: RESULTS[name] for name in order}, attain=0.99, optimum=OPTIMUM)
        assert [each.name for each in ranked] == ["cheap", "dear", "late", "later"]
        assert [each.enough for each in ranked] == [True, True, False, False]
        assert [each.times_optimum for each in ranked] == [1.5, 3.0, 0.5, 0.4]


def test_dollars_count_more_than_hours() -> None:
    """Of two that attain, fewer hours of a dearer GPU come second."""
    ranked = rank(
        {"h200": result(1, 1.0, cost_usd=9.0), "a10": result(1, 4.0, cost_usd=3.0)}, attain=0.99, optimum=None
    )
    assert [each.name for each in ranked] == ["a10", "h200"]
    assert [each.times_optimum for each in ranked] == [None, None]


def test_the_sentence_names_winner_next_and_those_that_did_not() -> None:
    """And how far hindsight is from the bound."""
    ranked = rank(RESULTS, attain=0.99, optimum=OPTIMUM)
    hindsight = standing("hindsight", result(0.99, 1.2), attain=0.99, optimum=OPTIMUM)
    assert ranking_sentence(ranked, attain=0.99, hindsight=hindsight) == (
        "cheap: the cheapest of 2 that kept 99 % of windows within target for $10.50, 1.50 × the clairvoyant optimum; "
        "next is dear for $21.00, 3.00 × the clairvoyant optimum; late (90.0 %), later (50.0 %) did not; "
        "the best simple policy in hindsight is 1.20 × the clairvoyant optimum."
    )


def test_a_field_of_losers_has_no_winner() -> None:
    """Whoever came closest is named as that and nothing more; alone, it is only said to have missed."""
    ranked = rank({name: RESULTS[name] for name in ("late", "later")}, attain=0.99, optimum=None)
    assert ranking_sentence(ranked, attain=0.99).startswith(
        "None of the deployments kept 99 % of windows within target; late came closest, with 90.0 %"
    )
    alone = ranking_sentence(ranked[:1], attain=0.99)
    assert alone == "late did not keep 99 % of windows within target, but 90.0 % for $3.50."
