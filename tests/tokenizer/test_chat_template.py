"""Chat templates: ours, and what model repositories write in theirs."""

from typing import Any

import pytest

from penstock.errors import ClientError
from penstock.tokenizer.chat_template import ChatTemplate
from penstock.tokenizer.tokenizer import Tokenizer

TINY = Tokenizer.load("penstock/tiny")


def render(source: str, messages: list[dict[str, Any]] | None = None, **values: Any) -> str:
    template = ChatTemplate(source, {"eos_token": "</s>"}, where="test")
    return template.render(messages or [{"role": "user", "content": "hi"}], **values)


def test_the_shipped_template_writes_turns_and_asks_for_an_answer() -> None:
    """ChatML: a turn opens with its role, closes, and the assistant's is left open."""
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    assert TINY.apply_chat_template(messages) == (
        "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert TINY.apply_chat_template(messages, add_generation_prompt=False).endswith("hi<|im_end|>\n")


def test_content_may_be_text_or_parts() -> None:
    """Both spell the same prompt, so both hit the same blocks."""
    parts = [{"type": "text", "text": "a <b> "}, {"type": "text", "text": "c"}]
    assert TINY.apply_chat_template([{"role": "user", "content": parts}]) == TINY.apply_chat_template(
        [{"role": "user", "content": "a <b> c"}]
    )


def test_tools_and_tool_calls_are_in_the_prompt() -> None:
    """Else two requests with different tools would seem equal."""
    tools = [{"type": "function", "function": {"name": "weather"}}]
    text = TINY.apply_chat_template([{"role": "user", "content": "hi"}], tools)
    assert '{"type": "function", "function": {"name": "weather"}}' in text
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]}
    assert '<tool_call>\n{"name": "weather", "arguments": "{}"}\n</tool_call>' in TINY.apply_chat_template([call])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% generation %}x{% endgeneration %}{{ eos_token }}", "x</s>"),
        ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{% endfor %}z", "z"),
        ("{{ {'a': '<é>'} | tojson }}", '{"a": "<é>"}'),
        ("{{ strftime_now('%Y') | length }}", "4"),
        ("{% if enable_thinking is defined and not enable_thinking %}quiet{% endif %}", "quiet"),
    ],
)
def test_what_model_templates_rely_on_is_there(source: str, expected: str) -> None:
    """The extras of Hugging Face's renderer."""
    assert render(source, extra={"enable_thinking": False}) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages[0].missing.deeper }}",
        "{{ messages[0]['content'] + 1 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
    ],
)
def test_a_template_that_refuses_or_misbehaves_is_the_clients_error(source: str) -> None:
    """It is sandboxed, and its errors never reach a client as a fault of ours."""
    with pytest.raises(ClientError, match="the chat template refused"):
        render(source)
