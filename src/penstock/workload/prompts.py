"""Prompt text of an exact number of tokens, equal where an arrival shares its prefix with others.

Text is made of words that are one token each after a space, so a text of n words has n tokens and any word boundary
is a token boundary. A block's text is 8 words that spell its id, then a run of a fixed filler: equal ids give equal
text, different ids differ within the first 8 tokens, so that no engine's prefix cache (chained hashes) finds more
than the workload shares. The tail that is an arrival's own is spelled likewise, by the seed and the arrival's index.
Slicing the filler is what makes a prompt of 12,000 tokens cost microseconds, without a cache.

Knows no network and no server's chat template, which adds its own tokens.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import xxhash

from penstock.errors import InputError
from penstock.workload.arrival import Arrival

SPELLED_WORDS = 8
_FILLERS = 64  # different runs of filler, so that prompts do not all read alike
_FILLER_WORDS = 512
_MIN_WORDS = 64  # of a vocabulary: 64 ** 8 different spellings
_ID_SPACE, _TAIL_SPACE = 1, 2  # seeds of the two hashes, so that block 7 and the tail of arrival 7 differ


@dataclass(frozen=True, slots=True)
class _Filler:
    text: str
    ends: tuple[int, ...]  # ends[k]: length of the first k words


class Prompts:
    """Makes the prompts of one workload. Deterministic in its words, its seed and what it is asked.

    Args:
        words: distinct words, each one token at the start of a text and after a space; at least 64.
        seed: tells apart the tails of two runs, which would else hit what the first run left in prefix caches.
    """

    def __init__(self, words: Sequence[str], *, seed: int = 0) -> None:
        if len(set(words)) < _MIN_WORDS:
            raise InputError(
                "tokenizer", f"has {len(set(words))} words of one token", f"{_MIN_WORDS} are needed; use another"
            )
        self._words = tuple(f" {word}" for word in words)
        self._seed = seed
        draw = random.Random(0)
        self._fillers = tuple(_filler(draw.choices(self._words, k=_FILLER_WORDS)) for _ in range(_FILLERS))

    def text(self, arrival: Arrival, index: int) -> str:
        """The prompt of an arrival: exactly `input_tokens` words.

        Args:
            index: tells this arrival from others; its place in the workload.
        """
        parts: list[str] = []
        left = arrival.input_tokens
        for block in arrival.prefix_blocks:
            tokens = min(arrival.block_tokens, left)
            self._write(parts, xxhash.xxh3_64_intdigest(block.to_bytes(8, "little"), _ID_SPACE), tokens)
            left -= tokens
        if left:
            key = f"{self._seed}:{index}".encode()
            self._write(parts, xxhash.xxh3_64_intdigest(key, _TAIL_SPACE), left)
        return "".join(parts)[1:]

    def _write(self, parts: list[str], number: int, tokens: int) -> None:
        """Append `tokens` words that depend on `number` alone; fewer words are the beginning of more."""
        filler = number % _FILLERS
        words, base = self._words, len(self._words)
        for _ in range(min(SPELLED_WORDS, tokens)):
            number, digit = divmod(number, base)
            parts.append(words[digit])
        left = tokens - SPELLED_WORDS
        while left > 0:
            run = self._fillers[filler]
            if left >= _FILLER_WORDS:
                parts.append(run.text)
            else:
                parts.append(run.text[: run.ends[left]])
            left -= _FILLER_WORDS
            filler = (filler + 1) % _FILLERS


def _filler(words: Sequence[str]) -> _Filler:
    return _Filler("".join(words), (0, *accumulate(len(word) for word in words)))
