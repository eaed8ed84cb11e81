"""The shipped tokenizer, and tokenizers in directories."""

import json
import random
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.tokenizer.tokenizer import SHIPPED, Tokenizer

TINY = Tokenizer.load("penstock/tiny")
TINY_FILE = SHIPPED["penstock/tiny"] / "tokenizer.json"
REFERENCE = tokenizers.Tokenizer.from_file(str(TINY_FILE))

_PIECES = st.sampled_from(
    [
        "the planner",
        " waits",
        "\n\n",
        "  \t",
        "<|im_end|>",
        "<|im_start|>user\n",
        "don't",
        "12345",
        "é",
        "日本語",
        "🙂",
        "...!",
        "\r\n",
    ]
)
TEXTS = st.lists(_PIECES | st.text(max_size=12), max_size=12).map("".join)


@given(TEXTS)
def test_ids_are_those_of_the_reference_implementation(text: str) -> None:
    """fastokens and Hugging Face's tokenizers agree on our file, whatever the text."""
    expected = REFERENCE.encode(text).ids
    assert TINY.encode(text) == expected
    assert list(TINY.encode_array(text)) == expected


@given(TEXTS)
def test_decoding_gives_the_text_back(text: str) -> None:
    """Byte-level: no text is lost."""
    assert TINY.decode(TINY.encode(text)) == text


def test_the_shipped_tokenizer_is_small_and_reserves_its_special_tokens() -> None:
    """It ships in the package, so it stays under 300 KB; turns of a chat are single tokens."""
    assert TINY_FILE.stat().st_size < 300_000
    assert TINY.vocab_size == 4096
    assert len(TINY.encode("<|im_start|><|im_end|><|endoftext|>")) == 3


def test_text_of_n_words_has_n_tokens() -> None:
    """In any order, also after a line break and before a special token, where chats put them."""
    assert len(TINY.words) >= 1000
    assert len(set(TINY.words)) == len(TINY.words)
    draw = random.Random(3)
    for count in (1, 2, 17, 5000):
        text = " ".join(draw.choices(TINY.words, k=count))
        assert len(TINY.encode(text)) == count, f"seed 3, {count} words"
    around = len(TINY.encode("<|im_start|>user\n<|im_end|>\n"))
    assert len(TINY.encode(f"<|im_start|>user\n{text}<|im_end|>\n")) == around + 5000


def test_a_directory_is_loaded_with_its_template_and_special_tokens(tmp_path: Path) -> None:
    """A template may be in tokenizer_config.json, and may print the beginning-of-text token."""
    (tmp_path / "tokenizer.json").write_bytes(TINY_FILE.read_bytes())
    config = {
        "bos_token": {"content": "<|endoftext|>", "lstrip": False},
        "chat_template": "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}",
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}]) == "<|endoftext|>hi"


def test_a_template_file_goes_before_the_one_in_the_config(tmp_path: Path) -> None:
    """As Hugging Face has it."""
    (tmp_path / "tokenizer.json").write_bytes(TINY_FILE.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "old"}))
    (tmp_path / "chat_template.jinja").write_text("new")
    assert Tokenizer.load(tmp_path).apply_chat_template([]) == "new"


def test_a_directory_without_a_template_says_so_when_a_chat_comes(tmp_path: Path) -> None:
    """Completions still work."""
    (tmp_path / "tokenizer.json").write_bytes(TINY_FILE.read_bytes())
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode("the planner")
    with pytest.raises(InputError, match="no chat template"):
        tokenizer.apply_chat_template([{"role": "user", "content": "hi"}])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no tokenizer.json there"),
        ({"tokenizer.json": "{"}, "cannot be read"),
        ({"tokenizer.json": TINY_FILE.read_text(), "tokenizer_config.json": "{"}, "not valid JSON"),
        ({"tokenizer.json": TINY_FILE.read_text(), "chat_template.jinja": "{% if %}"}, "not a chat template"),
    ],
)
def test_a_broken_directory_is_one_line_that_names_it(tmp_path: Path, files: dict[str, str], message: str) -> None:
    """Where, what, and what would be right."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_an_unknown_name_lists_what_ships() -> None:
    """Nothing is downloaded."""
    with pytest.raises(InputError, match="penstock/tiny"):
        Tokenizer.load("no/such-model")
