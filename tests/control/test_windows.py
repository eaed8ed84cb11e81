"""Counters over windows: increases, resets, ages."""

import random

from penstock.control.windows import Window


def test_the_increase_is_what_was_counted_within_the_window() -> None:
    window: Window[str] = Window(60)
    for second in range(31):
        window.read(second, {"n": second * 2.0})
    increase = window.increase(30, 10)
    assert increase is not None
    assert (increase.by["n"], increase.span_s, increase.age_s) == (20, 10, 0)


def test_the_first_reading_of_a_running_process_is_only_a_baseline() -> None:
    window: Window[str] = Window(60)
    window.read(5, {"n": 1000})
    assert window.increase(5, 10) is None
    window.read(6, {"n": 1003})
    assert window.increase(6, 10).by == {"n": 3}


def test_a_process_known_to_be_new_counts_from_nothing() -> None:
    window: Window[str] = Window(60)
    window.born(5)
    window.read(6, {"n": 7})
    assert window.increase(6, 10).by == {"n": 7}


def test_a_counter_that_fell_was_reset_and_counts_from_nothing() -> None:
    window: Window[str] = Window(60)
    for at_s, value in ((0, 0), (1, 10), (2, 4), (3, 6)):
        window.read(at_s, {"n": value})
    assert window.increase(3, 10).by == {"n": 16}
    assert window.since_start == {"n": 16}


def test_silence_ages_the_window_and_then_empties_it() -> None:
    window: Window[str] = Window(60)
    for second in range(5):
        window.read(second, {"n": second})
    window.read(5, {})
    assert window.increase(9, 10).age_s == 5
    assert window.increase(30, 10) is None
    assert window.since_start == {"n": 4}


def test_a_new_key_beside_old_ones_counts_from_nothing() -> None:
    window: Window[str] = Window(60)
    window.read(0, {"200": 5})
    window.read(1, {"200": 6, "503": 2})
    assert window.increase(1, 10).by == {"200": 1, "503": 2}


def test_memory_is_bounded_by_the_window() -> None:
    window: Window[str] = Window(60)
    for second in range(10_000):
        window.read(second, {"n": second})
    assert len(window._readings) < 70


def test_increases_of_windows_side_by_side_add_up_to_all_that_was_counted() -> None:
    seed = 20
    rng = random.Random(seed)
    window: Window[str] = Window(60)
    window.read(0, {"n": 0})
    value, at_s, summed = 0.0, 0.0, 0.0
    for _ in range(400):
        before_s = at_s
        at_s += rng.choice((0.5, 1.0, 1.5))
        step = rng.randrange(5)
        value = float(step) if rng.random() < 0.05 else value + step
        window.read(at_s, {"n": value})
        summed += window.increase(at_s, at_s - before_s).by["n"]
    assert summed == window.since_start["n"], f"seed {seed}"
