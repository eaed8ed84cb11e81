"""An OpenAI request body: parsed once, and only what routing needs is read. All else is the engine's to judge.

A body that is not a JSON object is refused here, with the engine's shape of error. Whatever is well-formed but odd
(no prompt, `stream` a string) goes to an engine all the same: its own 4xx is better than ours would be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from penstock.errors import ClientError


class Endpoint(Enum):
    """Which API a body is for; the value is its path."""

    CHAT = b"/v1/chat/completions"
    COMPLETION = b"/v1/completions"


@dataclass(slots=True, kw_only=True)
class Prompt:
    """What a request asks the model to read; exactly one of the three, or none if it could not be told.

    Args:
        messages, tools, template_values: a chat, to be put through the model's template.
        texts: one or more texts to complete.
        token_ids: one or more prompts that are token ids already.
        chars: its size in characters or ids, to estimate by.
    """

    messages: list[dict[str, Any]] | None = field(default=None, repr=False)
    tools: list[dict[str, Any]] | None = field(default=None, repr=False)
    texts: list[str] = field(default_factory=list, repr=False)
    token_ids: list[Sequence[int]] = field(default_factory=list, repr=False)
    add_generation_prompt: bool = True
    template_values: dict[str, Any] | None = None
    chars: int = 0


@dataclass(slots=True, kw_only=True)
class CompletionRequest:
    """What the gateway knows of a body. `document` is the parsed whole, kept for P/D, never printed."""

    endpoint: Endpoint
    stream: bool
    cache_salt: str | None
    prompt: Prompt
    body: bytes = field(repr=False)
    document: dict[str, Any] = field(repr=False)


def parse_completion(endpoint: Endpoint, body: bytes) -> CompletionRequest:
    """Read a body. Raises: ClientError, if it is not a JSON object."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ClientError(f"the body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(document, dict):
        raise ClientError("the body must be a JSON object", code="invalid_json")
    salt = document.get("cache_salt")
    return CompletionRequest(
        endpoint=endpoint,
        stream=document.get("stream") is True,
        cache_salt=salt if isinstance(salt, str) else None,
        prompt=_chat(document) if endpoint is Endpoint.CHAT else _completion(document.get("prompt")),
        body=body,
        document=document,
    )


def _chat(document: dict[str, Any]) -> Prompt:
    messages, tools, values = (document.get(name) for name in ("messages", "tools", "chat_template_kwargs"))
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return Prompt()
    return Prompt(
        messages=messages,
        tools=tools if isinstance(tools, list) and tools else None,
        add_generation_prompt=document.get("add_generation_prompt") is not False,
        template_values=values if isinstance(values, dict) else None,
        chars=sum(_message_chars(message) for message in messages),
    )


def _message_chars(message: dict[str, Any]) -> int:
    content = message.get("content")
    if isinstance(content, str):
        return len(content) + 8  # and the template's marks around it
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return sum(len(text) for text in texts if isinstance(text, str)) + 8
    return 8


def _completion(prompt: Any) -> Prompt:
    """`prompt` may be a text, a list of texts, a list of token ids, or a list of such lists."""
    if isinstance(prompt, str):
        return Prompt(texts=[prompt], chars=len(prompt))
    if not isinstance(prompt, list) or not prompt:
        return Prompt()
    if _are_ids(prompt):
        return Prompt(token_ids=[prompt], chars=len(prompt))
    if all(isinstance(item, str) for item in prompt):
        return Prompt(texts=prompt, chars=sum(map(len, prompt)))
    if all(isinstance(item, list) and _are_ids(item) for item in prompt):
        return Prompt(token_ids=prompt, chars=sum(map(len, prompt)))
    return Prompt()


def _are_ids(items: list[Any]) -> bool:
    # set(map(type)) runs in C: a prompt may have a million ids
    return set(map(type, items)) == {int} and min(items) >= 0
