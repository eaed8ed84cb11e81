"""The official OpenAI client against a real `penstock up`, as its users would write it."""

from collections.abc import Iterator

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from running_up import running_up, write_spec

MODEL = "penstock/tiny"
QUESTION = [{"role": "user", "content": "Where does the water go?"}]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    with running_up(write_spec(tmp_path_factory.mktemp("up"))) as up:
        up.until(up.is_serving)
        with OpenAI(base_url=up.url + "/v1", api_key="none", max_retries=0, timeout=20) as client:
            yield client


def test_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]


def test_a_chat_is_answered_whole_and_as_a_stream_alike(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=20)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 20
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 20
    assert whole.choices[0].finish_reason == "length"
    assert whole.choices[0].message.role == "assistant"
    events = list(
        client.chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=20, stream=True, stream_options={"include_usage": True}
        )
    )
    streamed = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert streamed == whole.choices[0].message.content
    assert sum(bool(event.choices and event.choices[0].delta.content) for event in events) > 10, "it came in pieces"
    assert events[-2].choices[0].finish_reason == "length"
    assert events[-1].usage is not None
    assert events[-1].usage.completion_tokens == 20


def test_a_completion_is_answered_whole_and_as_a_stream_alike(client: OpenAI) -> None:
    whole = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=20)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 20
    events = list(client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=20, stream=True))
    assert "".join(event.choices[0].text for event in events) == whole.choices[0].text
    assert [event.choices[0].finish_reason for event in events if event.choices[0].finish_reason] == ["length"]


def test_a_stream_can_be_left_and_the_next_request_is_served(client: OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=20_000, stream=True) as stream:
        next(iter(stream))
    assert client.completions.create(model=MODEL, prompt="And then", max_tokens=1).usage


def test_mistakes_come_as_the_clients_own_errors(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="max_tokens"):
        client.completions.create(model=MODEL, prompt="Once", max_tokens=-1)
    with pytest.raises(NotFoundError, match="no-such-model"):
        client.completions.create(model="no-such-model", prompt="Once", max_tokens=1)
