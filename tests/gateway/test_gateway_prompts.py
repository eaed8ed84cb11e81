"""What routing learns of a body, and no more."""

import asyncio
import json
from typing import Any

import pytest
from gateway_fakes import run

from penstock.errors import ClientError
from penstock.gateway.prompts import IN_LOOP_CHARS, PromptReader
from penstock.gateway.requests import CompletionRequest, Endpoint, parse_completion
from penstock.tokenizer.tokenizer import Tokenizer


def parsed(document: Any, endpoint: Endpoint = Endpoint.COMPLETION) -> CompletionRequest:
    return parse_completion(endpoint, json.dumps(document).encode())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load("penstock/tiny")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"a": NaN}', b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ClientError):
        parse_completion(Endpoint.CHAT, body)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"messages": "hi", "prompt": 7, "stream": "yes", "max_tokens": "many", "n": -1, "model": 3},
        {"messages": [1, 2], "prompt": [1, "a"], "max_tokens": True},
        {"messages": [{"content": [{"text": 5}, 7]}], "prompt": []},
        {"messages": [{}], "prompt": [[1], ["a"]]},
        {"messages": [{"role": "user"}], "prompt": [-1, 5]},
    ],
)
def test_odd_but_well_formed_bodies_are_the_engines_to_judge(document: dict[str, Any], tokenizer: Tokenizer) -> None:
    async def test() -> None:
        reader = PromptReader(tokenizer, wants_ids=True)
        for endpoint in Endpoint:
            request = parsed(document, endpoint)
            assert request.stream is False
            assert (await reader.read(request.prompt)).tokens >= 0
        reader.close()

    run(test())


@pytest.mark.parametrize(
    ("prompt", "tokens", "first"),
    [([1, 2, 3], 3, [1, 2, 3]), ([[1, 2], [3]], 3, [1, 2])],
)
def test_token_ids_are_taken_as_they_are(prompt: list[Any], tokens: int, first: list[int]) -> None:
    async def test() -> None:
        reader = PromptReader(None, wants_ids=True)
        reading = await reader.read(parsed({"prompt": prompt}).prompt)
        assert (reading.tokens, list(reading.ids or ())) == (tokens, first)
        reader.close()

    run(test())


def test_chats_and_texts_become_the_engines_token_ids(tokenizer: Tokenizer) -> None:
    async def test() -> None:
        reader = PromptReader(tokenizer, wants_ids=True)
        messages = [{"role": "user", "content": "what is a penstock?"}]
        chat = await reader.read(parsed({"messages": messages}, Endpoint.CHAT).prompt)
        assert list(chat.ids or ()) == tokenizer.encode(tokenizer.apply_chat_template(messages))
        texts = await reader.read(parsed({"prompt": ["one two", "three"]}).prompt)
        assert list(texts.ids or ()) == tokenizer.encode("one two", add_special_tokens=True)
        assert texts.tokens == len(texts.ids or ()) + len(tokenizer.encode("three", add_special_tokens=True))
        reader.close()

    run(test())


def test_long_prompts_are_tokenised_beside_the_loop_to_the_same_ids(tokenizer: Tokenizer) -> None:
    async def test() -> None:
        reader = PromptReader(tokenizer, wants_ids=True)
        text = "the gateway holds requests " * (IN_LOOP_CHARS // 20)
        reading = asyncio.ensure_future(reader.read(parsed({"prompt": text}).prompt))
        await asyncio.sleep(0)
        assert not reading.done(), "the loop goes on meanwhile"
        assert list((await reading).ids or ()) == tokenizer.encode(text, add_special_tokens=True)
        reader.close()

    run(test())


def test_without_a_tokenizer_lengths_are_estimated_and_learned() -> None:
    async def test() -> None:
        reader = PromptReader(None, wants_ids=True)
        prompt = parsed({"prompt": "x" * 1000}).prompt
        assert (await reader.read(prompt)).tokens == 250
        for _ in range(200):
            reader.learn(1000, 500)
        assert (await reader.read(prompt)).tokens == pytest.approx(500, rel=0.02)
        reader.close()

    run(test())


def test_policies_without_prefixes_tokenise_now_and_then_only(tokenizer: Tokenizer) -> None:
    async def test() -> None:
        reader = PromptReader(tokenizer, wants_ids=False)
        prompt = parsed({"prompt": "some words of a prompt that is long enough to learn from, indeed it is"}).prompt
        readings = [await reader.read(prompt) for _ in range(200)]
        exact = len(tokenizer.encode(prompt.texts[0], add_special_tokens=True))
        assert sum(reading.ids is not None for reading in readings) < 45
        assert readings[-1].tokens == pytest.approx(exact, rel=0.2)
        reader.close()

    run(test())
