"""Words that are one token each, both at the start of a text and after a space.

Text joined from n of them with single spaces then has exactly n tokens, whatever their order: made prompts and
simulated answers have the length that was asked for, and an answer that comes back in the next turn of a chat has the
same ids. Found by looking through the vocabulary, so it works for any byte-level or SentencePiece-like tokenizer;
checked by encoding, because no rule about vocabularies is safe.
"""

import random
import re
from collections.abc import Callable, Sequence

_SPACES = ("\u0120", "\u2581")  # how byte-level BPE and SentencePiece write a leading space
_WORD = re.compile(r"[a-z]{3,12}")
MAX_WORDS = 4096  # enough for variety; bounds the work for vocabularies of hundreds of thousands


def one_token_words(
    vocab_size: int,
    id_to_token: Callable[[int], str | None],
    encode: Callable[[str], Sequence[int]],
) -> tuple[str, ...]:
    """The words, in order of id; empty if the tokenizer has none."""
    spaced: dict[str, int] = {}
    bare: dict[str, int] = {}
    for token_id in range(vocab_size):
        token = id_to_token(token_id)
        if not token:
            continue
        if token[0] in _SPACES:
            if _WORD.fullmatch(token, 1):
                spaced[token[1:]] = token_id
        elif _WORD.fullmatch(token):
            bare[token] = token_id
    words = [
        word
        for word in spaced
        if word in bare and list(encode(word)) == [bare[word]] and list(encode(f" {word}")) == [spaced[word]]
    ][:MAX_WORDS]
    if not words:
        return ()
    shuffled = random.Random(0).sample(words, len(words))
    expected = [bare[shuffled[0]], *(spaced[word] for word in shuffled[1:])]
    return tuple(words) if list(encode(" ".join(shuffled))) == expected else ()
