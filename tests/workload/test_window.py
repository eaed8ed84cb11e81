"""A stretch of a workload, and no more of it than needed."""

import math
from collections.abc import Iterator

import pytest

from penstock.errors import InputError
from penstock.workload.arrival import Arrival
from penstock.workload.window import window


def test_a_stretch_counts_from_its_start_and_runs_at_its_speed() -> None:
    """[2, 6) of the trace at twice the speed; lengths and prefixes stay."""
    arrivals = [Arrival(at, at + 1, 1, (at,)) for at in range(10)]
    found = list(window(arrivals, start_s=2, duration_s=4, speed=2))
    assert found == [Arrival(place / 2, place + 3, 1, (place + 2,)) for place in range(4)]


@pytest.mark.parametrize(
    "wrong", [{"start_s": -1}, {"start_s": math.nan}, {"duration_s": 0}, {"speed": 0}, {"speed": math.inf}]
)
def test_a_figure_that_makes_no_sense_is_told_at_once(wrong: dict[str, float]) -> None:
    """Before anything is read, by its flag."""
    (name,) = wrong
    with pytest.raises(InputError) as caught:
        window([], **wrong)
    assert caught.value.where == f"--{name.replace('_', '-')}"


def test_nothing_beyond_the_stretch_is_read() -> None:
    """A trace of millions is not read to its end for its first minute."""
    read = []

    def arrivals() -> Iterator[Arrival]:
        for at in range(100):
            read.append(at)
            yield Arrival(at, 1, 1)

    assert len(list(window(arrivals(), duration_s=3))) == 3
    assert read == [0, 1, 2, 3]
