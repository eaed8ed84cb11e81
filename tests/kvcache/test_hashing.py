"""A block's hash names its content and all before it."""

from array import array

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kvcache.hashing import block_hashes, extend_hashes

TOKENS = st.lists(st.integers(0, 2**32 - 1), max_size=40)


def test_the_algorithm_is_xxh3_seeded_with_the_parent() -> None:
    """Written out for two blocks of two tokens; any other implementation must give the same names."""
    first = xxhash.xxh3_64_intdigest(bytes([1, 0, 0, 0, 2, 0, 0, 0]), seed=0)
    second = xxhash.xxh3_64_intdigest(bytes([3, 0, 0, 0, 0, 1, 0, 0]), seed=first)
    assert block_hashes([1, 2, 3, 256, 5], 2) == [first, second]


def test_names_do_not_change_between_versions() -> None:
    """Processes of different versions must agree."""
    assert block_hashes(range(8), 4) == [11660027832386793900, 2615516339191896381]


@settings(deadline=None)
@given(tokens=TOKENS, block=st.integers(1, 7))
def test_only_full_blocks_are_named(tokens: list[int], block: int) -> None:
    """One hash for each, within 64 bits."""
    hashes = block_hashes(tokens, block)
    assert len(hashes) == len(tokens) // block
    assert all(0 <= value < 2**64 for value in hashes)


@settings(deadline=None)
@given(tokens=TOKENS, more=TOKENS, block=st.integers(1, 7))
def test_a_longer_prompt_keeps_the_names_of_its_prefix(tokens: list[int], more: list[int], block: int) -> None:
    """So the hashes of a prompt are a path in the tree of prefixes."""
    shorter = block_hashes(tokens, block)
    assert block_hashes(tokens + more, block)[: len(shorter)] == shorter


@settings(deadline=None)
@given(tokens=st.lists(st.integers(0, 2**32 - 1), min_size=6, max_size=40), more=TOKENS)
def test_a_chain_can_be_continued_from_a_parent(tokens: list[int], more: list[int]) -> None:
    """As an index does, that hears of blocks piece by piece."""
    whole = tokens[: len(tokens) // 3 * 3]
    head = block_hashes(whole, 3)
    assert head + extend_hashes(head[-1], more, 3) == block_hashes(whole + more, 3)


def test_an_early_token_changes_all_later_names() -> None:
    """Equal blocks after different beginnings are different blocks."""
    one, other = block_hashes([1, 5, 5, 5], 2), block_hashes([2, 5, 5, 5], 2)
    assert not set(one) & set(other)


def test_salts_share_nothing() -> None:
    """Tenants can be kept apart."""
    assert not set(block_hashes(range(64), 16)) & set(block_hashes(range(64), 16, salt=1))


def test_lists_and_arrays_of_tokens_give_the_same_names() -> None:
    """Whatever the sequence type."""
    tokens = list(range(64))
    assert block_hashes(array("I", tokens), 16) == block_hashes(tuple(tokens), 16) == block_hashes(tokens, 16)


@pytest.mark.parametrize("tokens", [[-1], [2**32], [1.5], ["a"], [None]])
def test_what_is_no_token_id_is_refused(tokens: list) -> None:
    """With one kind of error."""
    with pytest.raises(ValueError, match="token id"):
        block_hashes(tokens, 1)


@pytest.mark.parametrize(("block", "salt"), [(0, 0), (-1, 0), (1, -1), (1, 2**64)])
def test_impossible_block_sizes_and_salts_are_refused(block: int, salt: int) -> None:
    """They would loop, or be truncated unseen."""
    with pytest.raises(ValueError):
        block_hashes([1], block, salt=salt)
