"""What a simulated engine says: readable words, known as soon as the prompt is known.

The tokens are a function of the prompt and the position alone, so that every worker continues a prompt alike, and so
that blocks filled by decoding have hashes ahead of time: the next turn of a chat, which contains this answer, then
finds them. They are a stretch of one long ring of words; the prompt's hash says where it starts. So an answer costs a
slice, whatever its length.

Each word is one token after a space. Only a chat's first word has none before it, since it starts a line.
"""

import random
from array import array
from dataclasses import dataclass

from xxhash import xxh3_64_intdigest

from penstock.errors import InputError
from penstock.tokenizer.tokenizer import Tokenizer

_RING = 8192  # words until the text repeats
# A chat whose length nobody limits ends by itself after so many tokens; uniform, by the prompt's hash.
NATURAL_TOKENS = (32, 256)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, whole, before its first token is out.

    Args:
        ids: its tokens. pieces: the text of each; together they are the text.
        finish_reason: `length`, if it was cut at its limit; `stop`, if it ended by itself or at a stop string.
        stop_reason: the stop string or token that ended it.
    """

    ids: "array[int]"
    pieces: list[str]
    finish_reason: str
    stop_reason: str | int | None = None


class AnswerBook:
    """Everything that can be said with one tokenizer. Raises: InputError, if it cannot spell words of one token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        draw = random.Random(0)
        words = draw.choices(tokenizer.words, k=_RING)
        self._pieces = [f" {word}" for word in words]
        self._ids = array("I", tokenizer.encode(" " + " ".join(words)))
        self._bare_ids = array("I", (tokenizer.encode(word)[0] for word in words))
        if len(self._ids) != _RING:
            raise InputError("tokenizer", "text of its one-token words is not one token a word", "use another one")

    @staticmethod
    def seed(prompt_ids: "array[int]") -> int:
        """What an answer depends on."""
        return xxh3_64_intdigest(prompt_ids.tobytes())

    @staticmethod
    def natural_tokens(seed: int) -> int:
        """Tokens after which an answer of a chat ends by itself."""
        low, high = NATURAL_TOKENS
        return low + (seed >> 32) % (high - low + 1)

    def tokens(self, seed: int, count: int, *, starts_line: bool) -> tuple["array[int]", list[str]]:
        """The first `count` tokens of an answer: ids, and the text of each."""
        start = seed % _RING
        turns = -(-(start + count) // _RING)
        ids = (self._ids * turns)[start : start + count]
        pieces = (self._pieces * turns)[start : start + count]
        if starts_line and count:
            ids[0] = self._bare_ids[start]
            pieces[0] = pieces[0][1:]
        return ids, pieces


def stopped(
    ids: "array[int]",
    pieces: list[str],
    *,
    limit_reason: str,
    stop: tuple[str, ...],
    stop_ids: tuple[int, ...],
    least: int,
) -> Answer:
    """Cut an answer at the first stop string or token, which itself is not said; at none within `least` tokens.

    Args:
        limit_reason: why it ends where it does, if nothing stops it.
    """
    end = next((place for place, token in enumerate(ids) if token in stop_ids and place + 1 > least), None)
    if end is not None:
        ids, pieces = ids[: end + 1], [*pieces[:end], ""]
    token_stop = None if end is None else ids[end]
    text = "".join(pieces)
    allowed_from = len("".join(pieces[:least]))
    # The one that is complete first wins, as if the text were watched while it grows.
    hits = [(at + len(word), at, word) for word in stop if (at := _find(text, word, allowed_from)) >= 0]
    if not hits:
        if token_stop is not None:
            return Answer(ids, pieces, "stop", token_stop)
        return Answer(ids, pieces, limit_reason)
    complete, cut, word = min(hits)
    kept: list[str] = []
    length = 0
    for piece in pieces:
        kept.append(piece[: max(0, cut - length)])
        length += len(piece)
        if length >= complete:
            break
    return Answer(ids[: len(kept)], kept, "stop", word)


def _find(text: str, word: str, ends_after: int) -> int:
    """First place of `word` that ends after the first `ends_after` characters; -1: none."""
    return text.find(word, max(0, ends_after - len(word) + 1))
