"""Equal ids have equal prefixes: what a prefix cache goes by."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.workload.prefix_chain import PrefixChain

prompts = st.lists(st.lists(st.integers(0, 4), max_size=5).map(tuple), max_size=20)


@given(many=prompts)
def test_names_are_equal_where_everything_up_to_them_is(many: list[tuple[int, ...]]) -> None:
    """Against the plain definition: a block's name stands for the whole prefix that ends with it."""
    chain = PrefixChain()
    named: dict[tuple[int, ...], int] = {}
    for blocks in many:
        for place, name in enumerate(chain.chained(blocks)):
            assert named.setdefault(blocks[: place + 1], name) == name
    assert len(set(named.values())) == len(named)


@given(many=prompts)
def test_what_chains_is_left_as_it_is(many: list[tuple[int, ...]]) -> None:
    """So that a file that was written from what was read is read equal."""
    first, again = PrefixChain(), PrefixChain()
    chained = [first.chained(blocks) for blocks in many]
    assert [again.chained(blocks) for blocks in chained] == chained


def test_memory_is_bounded() -> None:
    """Of a million blocks the last thousand are known."""
    chain = PrefixChain(most=1000)
    for block in range(100_000):
        chain.chained((block, block + 10**6))
    assert len(chain._before) + len(chain._older) <= 1000


def test_what_comes_again_is_not_forgotten() -> None:
    """However many others come in between."""
    chain = PrefixChain(most=100)
    for block in range(1000):
        assert chain.chained((1, 2)) == (1, 2)
        chain.chained((block + 10,))
    assert chain.chained((3, 2))[1] != 2
