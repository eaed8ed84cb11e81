"""Attainment of the last hour from running counts."""

import pytest

from penstock.messages.spec import SloSpec
from penstock.telemetry.attainment import Attainment

SLO = SloSpec(ttft_s=0.5, itl_s=0.05, percentile=95, window_s=60)


class Counting:
    """A gateway's counts, grown window by window."""

    def __init__(self, attainment: Attainment) -> None:
        self.attainment = attainment
        self.totals = dict.fromkeys(
            ("ttft_observed", "ttft_within", "itl_observed", "itl_within", "rejected", "failed"), 0.0
        )

    def minute(self, index: int, *, requests: int = 100, late: int = 0, slow: int = 0, rejected: int = 0) -> None:
        """One window: looked at near its begin and its end."""
        self.attainment.seen(index * 60 + 0.5, self.totals)
        self.totals["ttft_observed"] += requests
        self.totals["ttft_within"] += requests - late
        self.totals["itl_observed"] += 10 * requests
        self.totals["itl_within"] += 10 * requests - slow
        self.totals["rejected"] += rejected
        self.attainment.seen(index * 60 + 59.5, self.totals)


@pytest.fixture
def counting() -> Counting:
    return Counting(Attainment(SLO))


def test_nothing_counted_is_not_perfect(counting: Counting) -> None:
    """No ratio and no budget before there is anything to judge."""
    counting.attainment.seen(0.0, {})
    now = counting.attainment.now()
    assert (now.ratio, now.budget_left) == (None, None)


def test_the_open_window_does_not_count_yet(counting: Counting) -> None:
    """A minute is judged once it is over."""
    counting.minute(0)
    assert counting.attainment.now().windows == 0
    counting.attainment.seen(60.5, counting.totals)
    assert counting.attainment.now().windows == 1


@pytest.mark.parametrize(
    ("what", "met"), [({"late": 5}, 1), ({"late": 6}, 0), ({"slow": 50}, 1), ({"slow": 51}, 0), ({"rejected": 6}, 0)]
)
def test_a_window_is_met_as_in_the_summary(counting: Counting, what: dict[str, int], met: int) -> None:
    """Five late of a hundred are allowed, of requests as of tokens; refused requests are late ones."""
    counting.minute(0, **what)
    counting.minute(1)
    assert (counting.attainment.now().windows, counting.attainment.now().windows_met) == (1, met)


def test_a_window_without_requests_says_nothing(counting: Counting) -> None:
    """Quiet minutes neither help nor hurt."""
    counting.minute(0, late=50)
    counting.minute(1, requests=0)
    counting.minute(2)
    assert counting.attainment.now().windows == 1


def test_the_budget_is_what_the_percentile_leaves(counting: Counting) -> None:
    """Of 200 requests ten may be late; two were: 80 % is left. Eleven: over."""
    counting.minute(0, late=2)
    counting.minute(1)
    assert counting.attainment.now().budget_left == pytest.approx(0.8)
    counting.minute(2, late=28)
    assert counting.attainment.now().budget_left == pytest.approx(1 - (30 / 300) / 0.05)


def test_an_hour_is_remembered_and_no_more(counting: Counting) -> None:
    """A bad first minute is forgotten after an hour."""
    counting.minute(0, late=50)
    for index in range(1, 61):
        counting.minute(index)
    assert counting.attainment.now().windows_met == 59
    counting.minute(61)
    assert (counting.attainment.now().windows, counting.attainment.now().windows_met) == (60, 60)


def test_a_gateway_that_begins_anew_loses_no_window(counting: Counting) -> None:
    """Counters that fall are a new process: what it counted is what happened since."""
    counting.minute(0)
    counting.totals = dict.fromkeys(counting.totals, 0.0)
    counting.minute(1, requests=40, late=20)
    counting.minute(2)
    now = counting.attainment.now()
    assert (now.windows, now.windows_met) == (2, 1)


def test_missing_counts_leave_the_window_alone(counting: Counting) -> None:
    """A failed scrape in the middle changes nothing."""
    counting.minute(0)
    counting.attainment.seen(61.0, {"requests": 3.0})
    counting.attainment.seen(62.0, counting.totals)
    assert counting.attainment.now().windows_met == 1
