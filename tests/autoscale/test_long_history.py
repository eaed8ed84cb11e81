"""Demand by the minute: what is noted is what is remembered, whatever the period, gaps included, within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.autoscale.long_history import HOUR, MAX_HOURS, MINUTE_S, UNKNOWN, LongHistory, minutes_of


def test_samples_of_a_minute_are_averaged_once_it_is_over() -> None:
    history = LongHistory()
    for at_s, rate in ((5, 2.0), (35, 4.0), (65, 9.0)):
        history = history.noted(at_s, rate)
    assert (history.last(5), history.end) == ([3.0], 1)


def test_minutes_in_which_nothing_was_seen_are_unknown_and_not_zero() -> None:
    history = LongHistory().noted(30, 2.0).noted(60 * 4 + 1, 5.0)
    assert history.last(9) == [2.0, UNKNOWN, UNKNOWN, UNKNOWN]


def test_an_earlier_history_goes_on_where_the_run_begins() -> None:
    history = LongHistory.of([1.0, 2.0]).noted(10, 7.0).noted(70, 8.0)
    assert (history.last(9), history.end) == ([1.0, 2.0, 7.0], 1)


def test_a_silence_longer_than_the_memory_leaves_nothing() -> None:
    history = LongHistory.of([1.0] * 50).noted((MAX_HOURS + 2) * HOUR * MINUTE_S, 3.0)
    assert history.last(99) == []


@given(st.integers(0, 700), st.integers(0, 1200))
def test_the_last_minutes_are_the_last_that_were_given(length: int, count: int) -> None:
    minutes = [float(minute) for minute in range(length)]
    history = LongHistory.of(minutes, ends_s=600)
    assert history.last(count) == minutes[max(0, length - count) :]
    assert history.end == 10


def test_four_weeks_are_kept_and_no_more() -> None:
    extra = 90
    history = LongHistory.of([float(minute) for minute in range(MAX_HOURS * HOUR + extra)])
    kept = history.last(10 * MAX_HOURS * HOUR)
    assert MAX_HOURS * HOUR <= len(kept) < (MAX_HOURS + 1) * HOUR
    assert kept[-1] == MAX_HOURS * HOUR + extra - 1
    assert history.end == 0


def test_instants_become_minutes_as_long_as_the_trace_lasts() -> None:
    assert minutes_of([1, 2, 61], length_s=230) == [2 / 60, 1 / 60, 0, 0]
