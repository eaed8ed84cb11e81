"""A tokenizer and its chat template, loaded from a shipped name or a directory.

Ids are those of Hugging Face's `tokenizers` for the same file (a test says so); the work is done by fastokens, at
about a sixth of a microsecond per token. Prompt text of a chat holds its special tokens already, so nothing is added
to it; plain prompts take `add_special_tokens=True`, as the engines do.

This does not download anything: a model name that is neither shipped nor a directory is an error.
"""

import json
from array import array
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import fastokens

from penstock.errors import InputError
from penstock.tokenizer.chat_template import ChatTemplate
from penstock.tokenizer.words import one_token_words

SHIPPED = {"penstock/tiny": Path(__file__).parent / "tiny"}
_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


class Tokenizer:
    """Encodes, decodes and renders chats. Thread-safe for reading."""

    def __init__(self, native: Any, template: ChatTemplate | None, *, where: str) -> None:
        self._native = native
        self._template = template
        self._where = where

    @classmethod
    def load(cls, path_or_name: str | Path) -> Self:
        """Load a shipped tokenizer by name, or a directory with `tokenizer.json`.

        The chat template is `chat_template.jinja` beside it, else `chat_template` in `tokenizer_config.json`.
        Raises: InputError, if there is none or it cannot be read.
        """
        directory = SHIPPED.get(str(path_or_name)) or Path(path_or_name)
        file = directory / "tokenizer.json"
        if not file.is_file():
            shipped = ", ".join(SHIPPED)
            raise InputError(
                f"tokenizer {path_or_name}",
                "no tokenizer.json there",
                f"name a directory that has one, or a shipped tokenizer ({shipped})",
            )
        try:
            native = fastokens.Tokenizer.from_file(str(file))
        except (ValueError, RuntimeError, OSError) as error:
            raise InputError(str(file), f"cannot be read ({error})", "use a tokenizer.json of Hugging Face") from error
        return cls(native, _chat_template(directory), where=str(directory))

    @property
    def vocab_size(self) -> int:
        """Number of ids; ids are below it unless the file leaves gaps."""
        return int(self._native.vocab_size)

    @property
    def has_chat_template(self) -> bool:
        return self._template is not None

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Ids of the text. Special tokens that are spelled out in it are recognised."""
        ids: list[int] = self._native.encode(text, add_special_tokens).ids
        return ids

    def encode_array(self, text: str, *, add_special_tokens: bool = False) -> "array[int]":
        """As `encode`, but packed as unsigned 32-bit numbers: no Python object per token, three times as fast."""
        packed, _ = self._native.encode_batch_flat([text], add_special_tokens)
        ids = array("I")
        ids.frombytes(packed)
        return ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Text of the ids. Bytes that are not UTF-8 come out as U+FFFD."""
        text: str = self._native.decode(list(ids), skip_special_tokens)
        return text

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        *,
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt text of a chat; `content` may be a string or a list of parts, as the template allows.

        Raises: ClientError, if the template refuses the messages. InputError, if the tokenizer has no template.
        """
        if self._template is None:
            raise InputError(self._where, "no chat template", "add chat_template.jinja, or use /v1/completions")
        return self._template.render(messages, tools=tools, add_generation_prompt=add_generation_prompt, extra=extra)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words of one token each: `" ".join` of n of them encodes to n tokens, in any order.

        Raises: InputError, if the tokenizer has none.
        """
        words = one_token_words(self.vocab_size, self._native.id_to_token, self.encode)
        if not words:
            raise InputError(self._where, "no English words of one token", "use another tokenizer")
        return words

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Ids of the special tokens that end a turn or a text."""
        names = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>")
        found = (self._native.token_to_id(name) for name in names)
        return frozenset(token_id for token_id in found if token_id is not None)


def _chat_template(directory: Path) -> ChatTemplate | None:
    config_file, template_file = directory / "tokenizer_config.json", directory / "chat_template.jinja"
    config: dict[str, Any] = {}
    if config_file.is_file():
        try:
            config = json.loads(config_file.read_bytes())
        except ValueError as error:
            raise InputError(str(config_file), f"not valid JSON ({error})", "use the model's own file") from error
        if not isinstance(config, dict):
            raise InputError(str(config_file), "not a JSON object", "use the model's own file")
    special = {name: text for name in _SPECIAL_NAMES if (text := _token_text(config.get(name))) is not None}
    if template_file.is_file():
        return ChatTemplate(template_file.read_text(encoding="utf-8"), special, where=str(template_file))
    source = config.get("chat_template")
    if isinstance(source, list):  # several named templates; `default` is the one for chats
        source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
    return ChatTemplate(source, special, where=str(config_file)) if isinstance(source, str) else None


def _token_text(entry: Any) -> str | None:
    """A special token is a string, or an object with its flags."""
    if isinstance(entry, dict):
        entry = entry.get("content")
    return entry if isinstance(entry, str) else None
