"""OpenAI JSON in, one request of our own out, or the reason why not. The edge: nothing further in sees client JSON.

Knows the limits of the model's context, not those of the engine's cache. Fields that steer sampling (temperature,
top_p, seed, penalties, ...) are accepted and change nothing, because there is nothing to sample; fields whose effect
a client would miss (n, echo, logprobs, best_of, suffix) are refused. `priority` is accepted: the queue is first come,
first served.

Sources: platform.openai.com/docs/api-reference; vLLM's OpenAI-compatible server, for its extensions.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from penstock.errors import ClientError
from penstock.tokenizer.tokenizer import Tokenizer
from penstock.worker.answer import Answer, AnswerBook, stopped

DEFAULT_COMPLETION_TOKENS = 16  # OpenAI's default of /v1/completions
_MAX_STOPS = 16
_MAX_MESSAGES = 16_384


class Api(Enum):
    """Which of OpenAI's two completion APIs."""

    CHAT = "chat"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One valid request.

    Args:
        tokens: of prompt and answer, in this order.
        kv_transfer: where a prefill worker holds its KV, or that this one is to keep it.
    """

    api: Api
    prompt_tokens: int
    tokens: "array[int]"
    answer: Answer
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    return_token_ids: bool = False
    kv_transfer: Mapping[str, Any] | None = None


class RequestReader:
    """Reads requests for one model. Args: max_model_len: tokens of prompt and answer together."""

    def __init__(self, tokenizer: Tokenizer, *, model: str, max_model_len: int) -> None:
        self._tokenizer = tokenizer
        self._book = AnswerBook(tokenizer)
        self._model = model
        self._max_model_len = max_model_len

    def read(self, api: Api, body: bytes) -> Asked:
        """Parse one body. Raises: ClientError."""
        document = json_object(body)
        model = document.get("model")
        if model is not None and model != self._model:
            raise ClientError(f"The model `{model}` does not exist.", status=404, code="model_not_found", param="model")
        _refuse_unsupported(document)
        prompt = self.prompt_ids(api, document)
        if not prompt:
            raise ClientError("The prompt is empty.", param="prompt" if api is Api.TEXT else "messages")
        stream = _flag(document, "stream")
        options = _options(document, stream)
        kv_transfer = document.get("kv_transfer_params")
        if kv_transfer is not None and not isinstance(kv_transfer, dict):
            raise ClientError("kv_transfer_params must be an object.", param="kv_transfer_params")
        answer = self._answer(api, document, prompt)
        return Asked(
            api=api,
            prompt_tokens=len(prompt),
            tokens=prompt + answer.ids,
            answer=answer,
            stream=stream,
            include_usage=_flag(options, "include_usage"),
            continuous_usage=_flag(options, "continuous_usage_stats"),
            return_token_ids=_flag(document, "return_token_ids"),
            kv_transfer=kv_transfer,
        )

    def prompt_ids(self, api: Api, document: dict[str, Any]) -> "array[int]":
        """Token ids of a request's prompt. Raises: ClientError."""
        if api is Api.CHAT:
            return self._chat_ids(document)
        prompt = document.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
            prompt = prompt[0]
        if isinstance(prompt, str):
            return self._tokenizer.encode_array(prompt, add_special_tokens=True)
        if isinstance(prompt, list) and prompt and not isinstance(prompt[0], str | list):
            return self._checked_ids(prompt)
        if isinstance(prompt, list) and len(prompt) > 1:
            raise ClientError("One prompt per request, please: this engine takes no lists of prompts.", param="prompt")
        raise ClientError("prompt must be a string or a list of token ids.", param="prompt")

    def _chat_ids(self, document: dict[str, Any]) -> "array[int]":
        messages = document.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
            raise ClientError("messages must be a list of at least one message.", param="messages")
        if len(messages) > _MAX_MESSAGES:
            raise ClientError(f"At most {_MAX_MESSAGES} messages.", param="messages")
        for item in messages:
            if not isinstance(item.get("role"), str):
                raise ClientError("Each message needs a role.", param="messages")
            if not isinstance(item.get("content"), str | list | None):
                raise ClientError("content must be a string or a list of parts.", param="messages")
        tools, extra = document.get("tools"), document.get("chat_template_kwargs")
        if tools is not None and not isinstance(tools, list):
            raise ClientError("tools must be a list.", param="tools")
        if extra is not None and not isinstance(extra, dict):
            raise ClientError("chat_template_kwargs must be an object.", param="chat_template_kwargs")
        if not self._tokenizer.has_chat_template:
            raise ClientError("This model has no chat template; use /v1/completions.", param="messages")
        prompt_wanted = document.get("add_generation_prompt", True)
        text = self._tokenizer.apply_chat_template(messages, tools, bool(prompt_wanted), extra=extra)
        return self._tokenizer.encode_array(text)

    def _checked_ids(self, prompt: list[Any]) -> "array[int]":
        try:
            ids = array("I", prompt)
        except (TypeError, OverflowError, ValueError):
            raise ClientError("prompt must be a string or a list of token ids.", param="prompt") from None
        if max(ids) >= self._tokenizer.vocab_size:
            raise ClientError(f"Token id {max(ids)} is out of vocabulary.", param="prompt")
        return ids

    def _answer(self, api: Api, document: dict[str, Any], prompt: "array[int]") -> Answer:
        room = self._max_model_len - len(prompt)
        if room < 1:
            raise ClientError(
                f"This model's maximum context length is {self._max_model_len} tokens. However, your request has "
                f"{len(prompt)} input tokens. Please reduce the length of the input.",
                code="context_length_exceeded",
                param="messages" if api is Api.CHAT else "prompt",
            )
        limit = _count(document, "max_tokens")
        if api is Api.CHAT:
            newer = _count(document, "max_completion_tokens")
            limit = limit if newer is None else newer
        if limit is not None and limit > room:
            raise ClientError(
                f"max_tokens is too large: {limit}. This model's maximum context length is {self._max_model_len} "
                f"tokens and your request has {len(prompt)} input tokens ({limit} > {room}).",
                code="context_length_exceeded",
                param="max_tokens",
            )
        least = _count(document, "min_tokens", smallest=0) or 0
        if least > (room if limit is None else limit):
            raise ClientError(f"min_tokens {least} is more than may be generated.", param="min_tokens")
        seed = self._book.seed(prompt)
        reason = "length"
        if limit is None:
            if _flag(document, "ignore_eos"):
                limit = room
            elif api is Api.TEXT:
                limit = min(room, max(DEFAULT_COMPLETION_TOKENS, least))
            else:
                natural = max(least, self._book.natural_tokens(seed))
                limit, reason = min(room, natural), "stop" if natural <= room else "length"
        ids, pieces = self._book.tokens(seed, limit, starts_line=api is Api.CHAT)
        stop, stop_ids = _stops(document)
        if not stop and not stop_ids:
            return Answer(ids, pieces, reason)
        return stopped(ids, pieces, limit_reason=reason, stop=stop, stop_ids=stop_ids, least=least)


def json_object(body: bytes) -> dict[str, Any]:
    """A body that must be one JSON object. Raises: ClientError."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ClientError(f"The body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise ClientError("The body must be a JSON object.")
    return document


def _refuse_unsupported(document: dict[str, Any]) -> None:
    for name in ("n", "best_of"):
        if document.get(name) not in (None, 1):
            raise ClientError(f"{name} must be 1: this engine gives one answer per request.", param=name)
    for name in ("echo", "logprobs", "top_logprobs", "prompt_logprobs", "suffix", "use_beam_search"):
        if document.get(name) not in (None, False, 0) or (name == "logprobs" and document.get(name) is not None):
            if name == "logprobs" and document[name] is False:
                continue
            raise ClientError(f"{name} is not supported by this simulated engine.", param=name)


def _options(document: dict[str, Any], stream: bool) -> dict[str, Any]:
    options = document.get("stream_options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise ClientError("stream_options must be an object.", param="stream_options")
    if not stream:
        raise ClientError("stream_options needs stream=true.", param="stream_options")
    return options


def _flag(document: dict[str, Any], name: str) -> bool:
    value = document.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ClientError(f"{name} must be true or false.", param=name)
    return value


def _count(document: dict[str, Any], name: str, *, smallest: int = 1) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
        raise ClientError(f"{name} must be an integer of at least {smallest}, got {value!r}.", param=name)
    return value


def _stops(document: dict[str, Any]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    stop = document.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or len(stop) > _MAX_STOPS or not all(isinstance(item, str) and item for item in stop):
        raise ClientError(f"stop must be a string or a list of at most {_MAX_STOPS} strings.", param="stop")
    ids = document.get("stop_token_ids") or []
    if not isinstance(ids, list) or len(ids) > _MAX_STOPS or not all(type(item) is int for item in ids):
        raise ClientError(f"stop_token_ids must be a list of at most {_MAX_STOPS} ids.", param="stop_token_ids")
    return tuple(stop), tuple(ids)
