"""How many replicas a demand takes, where one holds the more the more of them there are."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.autoscale.pool_size import beside, replicas_for

HOLDS = st.tuples(st.floats(0.1, 3), st.floats(1, 2), st.floats(1, 2)).map(
    lambda drawn: {1: drawn[0], 2: drawn[0] * drawn[1], 4: drawn[0] * drawn[1] * drawn[2]}
)


@given(st.floats(0.001, 40), HOLDS, st.integers(0, 40))
def test_it_is_the_least_count_that_is_enough_as_a_pool_of_that_size_whatever_there_is_now(
    rate: float, holds: dict[int, float], about: int
) -> None:
    enough = (count for count in range(1000) if count * holds[beside(count)] >= rate * (1 - 1e-8))
    assert replicas_for(rate, holds.__getitem__, about=about) == next(enough)


@given(st.floats(8, 40))
def test_a_large_pool_asks_once(rate: float) -> None:
    asked: list[int] = []

    def holds(among: int) -> float:
        asked.append(among)
        return 1.0

    replicas_for(rate, holds, about=10)
    assert asked == [4]
