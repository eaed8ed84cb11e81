"""Figures in plain English, and the text of `penstock explain`."""

import pytest

from penstock.autoscale.sentences import LIMIT_WORDS, MAX_LINES, duration, explain, move, number, replicas
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import Sample


def decision(
    at_s: float, current: int, desired: int, limited_by: LimitedBy = LimitedBy.NONE, component: str = "w"
) -> Decision:
    return Decision(
        time_s=at_s,
        component=component,
        policy="planner",
        current=current,
        desired=desired,
        limited_by=limited_by,
        reason=f"Because of {at_s:g}.",
        seen={"requests_per_s": Sample(value=12.42, age_s=0.5)},
        figures={"needed": 3.0},
    )


LOG = [
    decision(0, 1, 1),
    decision(5, 1, 1),
    decision(10, 1, 3),
    decision(15, 3, 3, LimitedBy.COOL_IN),
    decision(20, 3, 3, LimitedBy.COOL_IN),
    decision(25, 3, 2),
    decision(12, 4, 4, component="other"),
]


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "0.05"), (6.2, "6.2"), (18.14, "18.1"), (184.4, "184"), (0, "0"), (12345, "12345")]
)
def test_figures_have_three_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.05, "50 ms"), (0.5, "0.5 s"), (8, "8 s"), (210, "3.5 min"), (0, "0 s")])
def test_times_are_said_as_people_say_them(value: float, text: str) -> None:
    assert duration(value) == text


def test_moves_and_counts_read_as_english() -> None:
    assert (move(2, 3), move(3, 3), replicas(1), replicas(2)) == (
        "scaling from 2 to 3",
        "staying at 3",
        "1 replica",
        "2 replicas",
    )


def test_every_limit_has_words() -> None:
    assert set(LIMIT_WORDS) == set(LimitedBy)


def test_what_did_not_change_is_one_line() -> None:
    assert explain(LOG, component="w").splitlines() == [
        "w (planner)",
        "      0.0 s to 5.0 s               1  Because of 5.",
        "     10.0 s                   1 -> 3  Because of 10.",
        "     15.0 s to 20.0 s              3  Because of 20.",
        "     25.0 s                   3 -> 2  Because of 25.",
    ]


def test_every_component_has_its_part() -> None:
    assert explain(LOG).count("(planner)") == 2


def test_around_an_instant_it_shows_the_neighbours_and_the_figures_behind() -> None:
    text = explain(LOG, component="w", at_s=17)
    lines = text.splitlines()
    assert [line.split("Because")[0].split()[0] for line in lines[1:4]] == ["10.0", "15.0", "25.0"]
    assert "At 17 s the decision of 15 s stood: 3 -> 3, waiting out the cool-in before scaling in." in text
    assert "requests_per_s" in text
    assert "12.4   0.5 s old" in text
    assert "needed" in text


def test_nothing_to_tell_is_said() -> None:
    assert explain([]) == "No decisions."
    assert explain(LOG, component="x") == "No decisions for x."


def test_a_long_log_is_cut_in_the_middle() -> None:
    flapping = [decision(i, 1 + i % 2, 2 - i % 2) for i in range(1000)]
    lines = explain(flapping).splitlines()
    assert len(lines) == MAX_LINES + 2
    assert f"... {1000 - MAX_LINES} more" in lines[MAX_LINES // 2 + 1]
