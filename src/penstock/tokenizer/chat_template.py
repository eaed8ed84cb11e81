"""Chat messages to prompt text, by the template that a model brings.

A template is a program from a model repository, so it runs in jinja2's immutable sandbox, with the same settings and
the same few extras (`raise_exception`, `strftime_now`, `tojson`, loop controls, `generation` blocks) that Hugging
Face's own renderer gives it; templates rely on them. The text must equal what the engine renders, or the tokens
differ and the prefix index finds nothing.

Source: https://huggingface.co/docs/transformers/chat_templating_writing
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, TemplateSyntaxError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from penstock.errors import ClientError, InputError


class ChatTemplate:
    """One compiled template.

    Args:
        source: the template's text.
        special_tokens: names such as `bos_token`, as the template may print them.
        where: the file it came from, for errors.
    Raises: InputError, if it is not a template.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str], *, where: str) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _GenerationBlock]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _strftime_now
        try:
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise InputError(
                f"{where} line {error.lineno}", f"not a chat template ({error.message})", "use the model's own file"
            ) from error
        self._special_tokens = dict(special_tokens)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt for these messages.

        Args:
            extra: `chat_template_kwargs` of the request.
        Raises: ClientError, when the template refuses the messages or cannot make sense of them.
        """
        values: dict[str, Any] = {
            **self._special_tokens,
            **(extra or {}),
            "messages": messages,
            "tools": tools or None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return self._template.render(values)
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            raise ClientError(f"the chat template refused these messages: {error}", param="messages") from error


class _GenerationBlock(Extension):
    """`{% generation %} ... {% endgeneration %}` marks what an assistant said; it renders its body unchanged."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # jinja2's own filter escapes <, > and & for HTML, which a prompt is not.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
