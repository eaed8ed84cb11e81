"""Prompt text has exactly the tokens that were asked for, and shares just what the workload shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.tokenizer.tokenizer import Tokenizer
from penstock.workload.arrival import Arrival
from penstock.workload.prompts import SPELLED_WORDS, Prompts

TOKENIZER = Tokenizer.load("penstock/tiny")
PROMPTS = Prompts(TOKENIZER.words, seed=5)


def shared(one: str, other: str) -> int:
    """Leading tokens that two texts have in common."""
    pairs = zip(TOKENIZER.encode(one), TOKENIZER.encode(other), strict=False)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), 10**9)


@given(
    tokens=st.integers(1, 3000),
    blocks=st.lists(st.integers(0, 2**63 - 1), max_size=5),
    size=st.sampled_from([1, 7, 16, 64, 512]),
    index=st.integers(0, 10**9),
)
def test_a_prompt_has_exactly_its_tokens(tokens: int, blocks: list[int], size: int, index: int) -> None:
    """Under the tokenizer that ships, whatever the blocks."""
    blocks = blocks[: -(-tokens // size)]
    text = PROMPTS.text(Arrival(0.0, tokens, 1, tuple(blocks), size), index)
    assert len(TOKENIZER.encode(text)) == tokens


def test_equal_blocks_are_equal_text_and_tails_differ_at_once() -> None:
    """Two prompts share two blocks of 512: a prefix cache finds those 1,024 tokens and not one block of 16 more."""
    one = PROMPTS.text(Arrival(0, 2000, 1, (10, 11)), 1)
    other = PROMPTS.text(Arrival(0, 3000, 1, (10, 11)), 2)
    assert 1024 <= shared(one, other) < 1024 + SPELLED_WORDS


def test_a_block_cut_short_is_the_beginning_of_its_text() -> None:
    """So a conversation that grows keeps all that it was."""
    short = PROMPTS.text(Arrival(0, 700, 1, (10, 11)), 1)
    longer = PROMPTS.text(Arrival(0, 1500, 1, (10, 11, 12)), 2)
    assert longer.startswith(short)


@pytest.mark.parametrize("tokens", [16, 600])
def test_prompts_of_their_own_share_nothing(tokens: int) -> None:
    """Neither by index nor by seed: a second run does not hit what the first left in a cache."""
    arrival = Arrival(0, tokens, 1)
    texts = {PROMPTS.text(arrival, index) for index in range(500)}
    assert len(texts) == 500
    assert len({" ".join(text.split()[:SPELLED_WORDS]) for text in texts}) == 500
    assert PROMPTS.text(arrival, 1) == Prompts(TOKENIZER.words, seed=5).text(arrival, 1)
    assert shared(PROMPTS.text(arrival, 1), Prompts(TOKENIZER.words, seed=6).text(arrival, 1)) < SPELLED_WORDS


def test_block_text_is_the_same_for_every_seed() -> None:
    """Prefixes are the workload's; tails are the run's."""
    arrival = Arrival(0, 512, 1, (3,))
    assert PROMPTS.text(arrival, 1) == Prompts(TOKENIZER.words, seed=6).text(arrival, 9)


def test_a_vocabulary_with_too_few_words_is_refused() -> None:
    """They could not spell prompts apart."""
    with pytest.raises(InputError, match="10 words"):
        Prompts([f"w{number}" for number in range(10)])
