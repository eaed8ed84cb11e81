"""OpenAI JSON to one request: what is taken, what is refused and how."""

from typing import Any

import orjson
import pytest

from penstock.errors import ClientError
from penstock.tokenizer.tokenizer import Tokenizer
from penstock.worker.asked import Api, Asked, RequestReader

READER = RequestReader(Tokenizer.load("penstock/tiny"), model="m", max_model_len=600)
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
TEXT: dict[str, Any] = {"prompt": [300, 301, 302]}


def read(document: Any) -> Asked:
    api = Api.CHAT if isinstance(document, dict) and "messages" in document else Api.TEXT
    return READER.read(api, orjson.dumps(document))


@pytest.mark.parametrize(
    ("document", "tokens", "reason"),
    [
        (TEXT, 16, "length"),
        (TEXT | {"max_tokens": 40}, 40, "length"),
        (TEXT | {"min_tokens": 30}, 30, "length"),
        (TEXT | {"ignore_eos": True}, 597, "length"),
        (CHAT | {"max_tokens": 300}, 300, "length"),
        (CHAT | {"max_tokens": 300, "max_completion_tokens": 7}, 7, "length"),
        (CHAT | {"min_tokens": 400}, 400, "stop"),
        (
            CHAT | {"ignore_eos": True, "stop": ["none of this"]},
            600 - READER.read(Api.CHAT, orjson.dumps(CHAT)).prompt_tokens,
            "length",
        ),
    ],
)
def test_how_long_an_answer_is(document: dict[str, Any], tokens: int, reason: str) -> None:
    """A limit is kept exactly; without one, completions have OpenAI's 16 and chats end by themselves."""
    asked = read(document)
    assert (len(asked.answer.ids), asked.answer.finish_reason) == (tokens, reason)
    assert asked.tokens[asked.prompt_tokens :] == asked.answer.ids


def test_a_chat_without_a_limit_ends_by_itself_and_always_alike() -> None:
    """Between 32 and 256 tokens, by the prompt."""
    first, second = read(CHAT), read(CHAT | {"temperature": 2, "top_p": 0.1, "seed": 4, "priority": 3, "model": "m"})
    assert 32 <= len(first.answer.ids) <= 256
    assert first.answer == second.answer
    assert first.answer.finish_reason == "stop"


def test_text_and_its_token_ids_are_the_same_prompt() -> None:
    """So is a list of just one prompt."""
    ids = Tokenizer.load("penstock/tiny").encode("the planner waits")
    prompts = ["the planner waits", ids, ["the planner waits"], [ids]]
    assert len({tuple(read({"prompt": prompt}).tokens) for prompt in prompts}) == 1


@pytest.mark.parametrize(
    ("document", "status", "param", "message"),
    [
        (CHAT | {"model": "other"}, 404, "model", "does not exist"),
        (CHAT | {"n": 2}, 400, "n", "must be 1"),
        (TEXT | {"best_of": 3}, 400, "best_of", "must be 1"),
        (TEXT | {"echo": True}, 400, "echo", "not supported"),
        (TEXT | {"logprobs": 0}, 400, "logprobs", "not supported"),
        (CHAT | {"logprobs": True}, 400, "logprobs", "not supported"),
        (TEXT | {"max_tokens": 0}, 400, "max_tokens", "at least 1"),
        (TEXT | {"max_tokens": "7"}, 400, "max_tokens", "integer"),
        (TEXT | {"max_tokens": True}, 400, "max_tokens", "integer"),
        (TEXT | {"max_tokens": 598}, 400, "max_tokens", "maximum context length is 600 tokens"),
        (TEXT | {"max_tokens": 5, "min_tokens": 6}, 400, "min_tokens", "more than may be generated"),
        (TEXT | {"stream_options": {"include_usage": True}}, 400, "stream_options", "stream=true"),
        (TEXT | {"stream": 1}, 400, "stream", "true or false"),
        (TEXT | {"stop": [1]}, 400, "stop", "list"),
        (TEXT | {"stop": ""}, 400, None, None),
        (TEXT | {"stop_token_ids": ["x"]}, 400, "stop_token_ids", "list"),
        (TEXT | {"kv_transfer_params": []}, 400, "kv_transfer_params", "object"),
        ({"prompt": ""}, 400, "prompt", "empty"),
        ({"prompt": []}, 400, "prompt", "string or a list"),
        ({"prompt": None}, 400, "prompt", "string or a list"),
        ({"prompt": ["a", "b"]}, 400, "prompt", "One prompt per request"),
        ({"prompt": [1, "b"]}, 400, "prompt", "string or a list"),
        ({"prompt": [-1]}, 400, "prompt", "string or a list"),
        ({"prompt": [5000]}, 400, "prompt", "out of vocabulary"),
        ({"prompt": [300] * 600}, 400, "prompt", "maximum context length is 600 tokens"),
        ({"messages": []}, 400, "messages", "at least one"),
        ({"messages": "hi"}, 400, "messages", "at least one"),
        ({"messages": [{"content": "hi"}]}, 400, "messages", "role"),
        ({"messages": [{"role": "user", "content": 3}]}, 400, "messages", "content"),
        (CHAT | {"tools": {}}, 400, "tools", "list"),
        ([], 400, None, "JSON object"),
    ],
)
def test_a_bad_request_is_refused_with_its_field(
    document: Any, status: int, param: str | None, message: str | None
) -> None:
    """In OpenAI's terms: status, field, and a sentence."""
    if message is None:  # an empty stop is no stop
        assert read(document).answer.finish_reason == "length"
        return
    with pytest.raises(ClientError, match=message) as caught:
        read(document)
    assert (caught.value.status, caught.value.param) == (status, param)


def test_a_body_that_is_not_json_is_refused() -> None:
    """Never a fault of ours."""
    for body in (b"", b"{", b"\xff", b'{"prompt": ' + b"[" * 2000):
        with pytest.raises(ClientError, match="not valid JSON"):
            READER.read(Api.TEXT, body)
