"""Blocks of a workload have one size, which its first request tells."""

from collections.abc import Iterator

import pytest

from penstock.errors import InputError
from penstock.workload.arrival import Arrival
from penstock.workload.same_blocks import same_blocks


def test_the_first_tells_the_size_that_a_later_one_names() -> None:
    """Also if it names no block itself."""
    arrivals = [Arrival(0, 100, 1), Arrival(1, 100, 1, (1,), 64)]
    found = list(same_blocks(iter(arrivals), name="t"))
    assert found == [Arrival(0, 100, 1, (), 64), arrivals[1]]


def test_another_size_is_refused() -> None:
    """Whose blocks are whose could not be told."""
    found = same_blocks(iter([Arrival(0, 100, 1, (1,), 64), Arrival(1, 100, 1, (1,), 32)]), name="t")
    assert next(found).block_tokens == 64
    with pytest.raises(InputError, match="32 tokens at 1 s and 64 before"):
        next(found)


def test_what_comes_before_a_bad_row_is_yielded_first() -> None:
    """Though it was read ahead."""

    def broken() -> Iterator[Arrival]:
        yield Arrival(0, 100, 1)
        raise InputError("t line 2", "oops", "correct it")

    found = same_blocks(broken(), name="t")
    assert next(found) == Arrival(0, 100, 1)
    with pytest.raises(InputError, match="line 2"):
        next(found)
