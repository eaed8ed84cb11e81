"""A streamed answer, read at any pace and in any pieces."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.load.answer import MAX_EVENT_BYTES, AnswerReader


def event(text: str = "", *, finish: str | None = None, usage: dict[str, object] | None = None) -> bytes:
    document: dict[str, object] = {"choices": [{"text": text, "finish_reason": finish}]}
    if usage is not None:
        document = {"choices": [], "usage": usage}
    return b"data: " + json.dumps(document).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def test_each_event_with_text_is_a_token() -> None:
    """The first sets TTFT, each later one ends a gap."""
    reader = AnswerReader()
    for at_s in (1.0, 1.1, 1.3):
        reader.feed(event(" a"), at_s)
    assert reader.first_token_s == 1.0
    assert reader.gaps() == ((pytest.approx(0.1), 1), (pytest.approx(0.2), 1))


def test_tokens_that_come_together_share_their_gap() -> None:
    """Three at once after 0.3 s are three gaps of 0.1 s."""
    reader = AnswerReader()
    reader.feed(event(" a"), 1.0)
    reader.feed(event(" a") * 3, 1.3)
    assert reader.gaps() == ((pytest.approx(0.1), 3),)


def test_tokens_that_come_with_the_first_have_no_gap() -> None:
    """The reader had them at once."""
    reader = AnswerReader()
    reader.feed(event(" a") * 3, 1.0)
    assert reader.gaps() == ((0.0, 2),)


def test_several_tokens_in_one_event_are_told_by_usage() -> None:
    """Two events, but usage says four tokens: the longer text had three of them."""
    reader = AnswerReader()
    reader.feed(event("a"), 1.0)
    reader.feed(event("aaa"), 1.3)
    reader.feed(event(usage={"completion_tokens": 4}) + DONE, 1.3)
    assert reader.output_tokens == 4
    assert reader.gaps() == ((pytest.approx(0.1), 3),)


def test_the_end_is_seen() -> None:
    """Finish reason, usage, [DONE]; what follows is not read."""
    reader = AnswerReader()
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4}}
    reader.feed(event(" a") + event(finish="length") + event(usage=usage) + DONE + event(" more"), 1.0)
    assert (reader.finish_reason, reader.done, reader.token_events) == ("length", True, 1)
    assert (reader.prompt_tokens, reader.cached_tokens, reader.output_tokens) == (7, 4, 1)


@pytest.mark.parametrize(
    "usage", [None, {}, {"completion_tokens": "7"}, {"prompt_tokens": -1}, {"prompt_tokens": True}]
)
def test_a_usage_that_makes_no_sense_is_passed_over(usage: dict[str, object] | None) -> None:
    """Events are counted then."""
    reader = AnswerReader()
    reader.feed(event(" a") + b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n", 1.0)
    assert reader.output_tokens == 1
    assert reader.prompt_tokens is None
    assert reader.cached_tokens == 0


@pytest.mark.parametrize(
    "line", [b": keep-alive", b"event: x", b"id: 7", b"data: 7", b"data: []", b'data: {"choices": 7}']
)
def test_lines_that_are_no_token_are_passed_over(line: bytes) -> None:
    """Comments, names and odd documents do no harm."""
    reader = AnswerReader()
    reader.feed(line + b"\n\n" + event(" a"), 1.0)
    assert reader.error is None
    assert reader.token_events == 1


def test_an_event_that_is_not_json_is_an_error() -> None:
    """It is not ours to guess."""
    reader = AnswerReader()
    reader.feed(b"data: {oops\n\n", 1.0)
    assert reader.error == "an event that is not JSON"


def test_an_endless_event_is_an_error() -> None:
    """The buffer is bounded."""
    reader = AnswerReader()
    for _ in range(3):
        reader.feed(b"x" * (MAX_EVENT_BYTES // 2), 1.0)
    assert reader.error is not None


@given(
    texts=st.lists(st.text(min_size=1, max_size=9), max_size=12),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
    crlf=st.booleans(),
    extra=st.integers(0, 30),
)
def test_pieces_do_not_matter(texts: list[str], cuts: list[int], crlf: bool, extra: int) -> None:
    """However TCP cuts the bytes, tokens are the same, and gaps add up to the time from the first to the last."""
    tokens = len(texts) + extra if texts else 0
    whole = b"".join(event(text) for text in texts) + event(usage={"completion_tokens": tokens}) + DONE
    if crlf:
        whole = whole.replace(b"\n", b"\r\n")
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    reader = AnswerReader()
    instants = []
    for number, (start, end) in enumerate(pairwise(edges)):
        before = reader.token_events
        reader.feed(whole[start:end], float(number))
        instants += [float(number)] * (reader.token_events - before)
    assert reader.done
    assert (reader.token_events, reader.output_tokens) == (len(texts), tokens)
    gaps = reader.gaps()
    assert sum(count for _, count in gaps) == max(tokens - 1, 0)
    assert all(gap_s >= 0 and count > 0 for gap_s, count in gaps)
    if texts:
        assert sum(gap_s * count for gap_s, count in gaps) <= instants[-1] - instants[0] + 1e-9
        if not extra:
            assert sum(gap_s * count for gap_s, count in gaps) == pytest.approx(instants[-1] - instants[0])
