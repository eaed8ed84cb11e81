"""What a simulated engine says."""

import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.tokenizer.tokenizer import Tokenizer
from penstock.worker.answer import Answer, AnswerBook, stopped

TINY = Tokenizer.load("penstock/tiny")
BOOK = AnswerBook(TINY)


@given(st.integers(0, 2**64 - 1), st.integers(1, 300), st.integers(1, 300), st.booleans())
def test_an_answer_depends_on_prompt_and_position_alone(seed: int, few: int, more: int, starts_line: bool) -> None:
    """A longer answer begins with the shorter one."""
    few, more = sorted((few, more))
    short, long = (BOOK.tokens(seed, count, starts_line=starts_line) for count in (few, more))
    assert long[0][:few] == short[0]
    assert long[1][:few] == short[1]


@given(st.integers(0, 2**64 - 1), st.integers(1, 200))
def test_an_answers_text_encodes_to_its_tokens(seed: int, count: int) -> None:
    """So the next turn of a chat, which contains it as text, finds its blocks."""
    ids, pieces = BOOK.tokens(seed, count, starts_line=True)
    before, after = "<|im_start|>assistant\n", "<|im_end|>\n"
    encoded = TINY.encode(before + "".join(pieces) + after)
    assert encoded == TINY.encode(before) + list(ids) + TINY.encode(after)
    ids, pieces = BOOK.tokens(seed, count, starts_line=False)
    assert TINY.encode("the" + "".join(pieces))[1:] == list(ids)


def test_an_answer_may_be_longer_than_the_ring() -> None:
    """Then it repeats itself."""
    ids, pieces = BOOK.tokens(8191, 20_000, starts_line=False)
    assert len(ids) == len(pieces) == 20_000
    assert ids[8192 : 2 * 8192] == ids[:8192]


def test_different_prompts_get_different_answers() -> None:
    """Of 200 prompts nearly all say something else, and the natural lengths spread over their range."""
    seeds = [BOOK.seed(array("I", [number, 5])) for number in range(200)]
    assert len({tuple(BOOK.tokens(seed, 8, starts_line=True)[0]) for seed in seeds}) > 190
    lengths = [BOOK.natural_tokens(seed) for seed in seeds]
    assert min(lengths) >= 32
    assert max(lengths) <= 256
    assert max(lengths) - min(lengths) > 150


PIECES = ["alpha", " beta", " gamma", " delta"]
IDS = array("I", [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("stop", "stop_ids", "least", "text", "tokens", "reason", "by"),
    [
        ((), (), 0, "alpha beta gamma delta", 4, "length", None),
        (("nowhere",), (), 0, "alpha beta gamma delta", 4, "length", None),
        (("gamma",), (), 0, "alpha beta ", 3, "stop", "gamma"),
        (("ta ga",), (), 0, "alpha be", 3, "stop", "ta ga"),
        (("gamma", "beta"), (), 0, "alpha ", 2, "stop", "beta"),
        (("alpha beta gamma", "beta"), (), 0, "alpha ", 2, "stop", "beta"),
        (("a",), (), 2, "alpha beta g", 3, "stop", "a"),
        (("a",), (), 3, "alpha beta gamma delt", 4, "stop", "a"),
        ((), (3,), 0, "alpha beta", 3, "stop", 3),
        ((), (3,), 3, "alpha beta gamma delta", 4, "length", None),
        (("beta",), (3,), 0, "alpha ", 2, "stop", "beta"),
    ],
)
def test_stops_cut_the_answer_where_a_watcher_of_the_text_would(
    stop: tuple[str, ...], stop_ids: tuple[int, ...], least: int, text: str, tokens: int, reason: str, by: object
) -> None:
    """The stop itself is not said; the token that completed it counts; only after `least` tokens does any stop."""
    answer = stopped(IDS, PIECES, limit_reason="length", stop=stop, stop_ids=stop_ids, least=least)
    assert answer == Answer(IDS[:tokens], answer.pieces, reason, by)  # type: ignore[arg-type]
    assert "".join(answer.pieces) == text
    assert len(answer.pieces) == tokens


def test_stopping_agrees_with_growing_the_text_token_by_token() -> None:
    """Against the plain way: look at the text after each token."""
    draw = random.Random(11)
    for case in range(300):
        pieces = ["".join(draw.choices("ab ", k=draw.randint(0, 3))) for _ in range(12)]
        stop = tuple("".join(draw.choices("ab ", k=draw.randint(1, 3))) for _ in range(draw.randint(1, 2)))
        expected, text = ("".join(pieces), 12), ""
        for count, piece in enumerate(pieces, 1):
            text += piece
            if any(word in text for word in stop):
                ends = [(text.index(word) + len(word), text.index(word)) for word in stop if word in text]
                expected = (text[: min(ends)[1]], count)
                break
        got = stopped(array("I", range(12)), pieces, limit_reason="length", stop=stop, stop_ids=(), least=0)
        assert ("".join(got.pieces), len(got.ids)) == expected, f"seed 11, case {case}: {pieces} {stop}"
