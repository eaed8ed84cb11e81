"""Train the small tokenizer that ships with the package, and write it to `src/penstock/tokenizer/tiny/`.

Run from the root of the repository: `.venv/bin/python assets/tokenizer/train.py`. It needs `tokenizers` (a development
dependency) and nothing else. The corpus is our own: made English over `words.txt`, and the texts and sources of this
repository. The same tree gives the same file; a changed tree gives slightly other merges, so commit what it writes only
when the tokenizer is meant to change (every id changes with it).

The made English names every word at the start of a line and after a space, often enough that both forms become one
token: synthetic prompts and simulated answers are built from such words, so that their length in tokens is known.
"""

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "src" / "penstock" / "tokenizer" / "tiny" / "tokenizer.json"
VOCAB_SIZE = 4096
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
    "<|reserved_0|>",
    "<|reserved_1|>",
    "<|reserved_2|>",
    "<|reserved_3|>",
    "<|reserved_4|>",
    "<|reserved_5|>",
    "<|reserved_6|>",
)
# A word with at most one space before it; digits by threes; runs of signs; white space. No possessives: plain text
# joined from words then always splits back into those words.
SPLIT = r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LINES_PER_WORD = 60  # how often each word starts a line, and how often it follows a space


def made_english(words: list[str], rng: random.Random) -> Iterator[str]:
    """Lines of words in random order; each word begins `LINES_PER_WORD` lines."""
    for _ in range(LINES_PER_WORD):
        shuffled = rng.sample(words, len(words))
        others = rng.sample(words, len(words))
        for first, second in zip(shuffled, others, strict=True):
            yield f"{first} {second}.\n"


def own_texts() -> Iterator[str]:
    """Documents and sources of this repository, in a fixed order."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py"), *ROOT.glob("examples/*.yaml")]
    for path in sorted(files):
        yield path.read_text(encoding="utf-8")


def train() -> Tokenizer:
    """Train on the corpus."""
    words = re.findall(r"[a-z]+", (Path(__file__).parent / "words.txt").read_text(encoding="utf-8"))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = [*made_english(words, random.Random(0)), *own_texts()]
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def main() -> None:
    tokenizer = train()
    TARGET.write_text(tokenizer.to_str(pretty=False) + "\n", encoding="utf-8")
    size = TARGET.stat().st_size
    sys.stdout.write(f"{TARGET.relative_to(ROOT)}: {tokenizer.get_vocab_size()} tokens, {size} bytes\n")


if __name__ == "__main__":
    main()
