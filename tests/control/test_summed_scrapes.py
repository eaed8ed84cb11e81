"""Several gateways read as one."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.control.exposition import Scrape, Series
from penstock.control.summed_scrapes import SummedScrapes

REQUESTS, HELD = "requests_total", "held"


def scrape(requests: float, held: float = 0.0) -> Scrape:
    return Scrape((Series(name=REQUESTS, labels={}, value=requests), Series(name=HELD, labels={}, value=held)))


def test_counters_and_gauges_are_summed() -> None:
    both = SummedScrapes(REQUESTS)
    both.take("a", scrape(10, 1))
    both.take("b", scrape(5, 2))
    assert (both.together().total(REQUESTS), both.together().total(HELD)) == (15, 3)


def test_one_that_goes_takes_its_gauges_and_leaves_its_counts() -> None:
    both = SummedScrapes(REQUESTS)
    both.take("a", scrape(10, 1))
    both.take("b", scrape(5, 2))
    both.only(["b"])
    assert (both.together().total(REQUESTS), both.together().total(HELD)) == (15, 2)


def test_a_failed_scrape_changes_nothing_and_before_the_first_there_is_none() -> None:
    one = SummedScrapes(REQUESTS)
    one.take("a", Scrape())
    assert one.together() == Scrape()
    one.take("a", scrape(10))
    one.take("a", Scrape())
    assert one.together().total(REQUESTS) == 10


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["serve", "restart", "go"]), st.integers(0, 50)), max_size=40
    )
)
def test_the_sum_is_what_was_served_whatever_comes_and_goes(history: list[tuple[str, str, int]]) -> None:
    """An increase of the sum is requests, never a process; a process that restarts serves before its next scrape."""
    fleet = SummedScrapes(REQUESTS)
    counts: dict[str, int] = {}
    served = 0
    for name, event, requests in history:
        if event == "go":
            counts.pop(name, None)
            fleet.only(counts)
            continue
        if event == "restart" and name in counts:
            fresh = min(requests, counts[name] - 1)  # it shows as a fall: more than before looks like serving on
            if fresh < 0:
                continue
            served += fresh
            counts[name] = fresh
        else:
            served += requests
            counts[name] = counts.get(name, 0) + requests
        fleet.take(name, scrape(counts[name]))
    assert (fleet.together().total(REQUESTS) or 0) == served
