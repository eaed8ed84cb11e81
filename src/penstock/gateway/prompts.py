"""How long a prompt is, and its token ids where the router wants them. The only place that tokenises.

Only the `kv` policy needs ids. For the others a length is enough: it is estimated from characters, with a ratio that
is learned from what engines report and from a prompt tokenised now and then. Long prompts are tokenised in a thread
(the tokenizer runs without the GIL), so that they do not hold up the streams of others.
"""

import asyncio
import logging
from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from penstock.gateway.requests import Prompt

log = logging.getLogger(__name__)

CHARS_PER_TOKEN = 4.0  # English, most tokenizers; until something better is learned
IN_LOOP_CHARS = 32_768  # about 8,000 tokens: 1.3 ms
_GAIN = 0.05
_ALWAYS_FIRST = 32  # policies without ids: tokenise so many prompts, then one in as many


class Tokenizer(Protocol):
    """What is needed of `penstock.tokenizer.Tokenizer`."""

    def encode_array(self, text: str, *, add_special_tokens: bool = False) -> "array[int]": ...
    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        *,
        extra: Mapping[str, Any] | None = None,
    ) -> str: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt as routing needs it. `ids` is None where only the length is known."""

    tokens: int
    ids: Sequence[int] | None


class PromptReader:
    """Reads prompts. Args: wants_ids: whether the router's policy looks at prefixes."""

    def __init__(self, tokenizer: Tokenizer | None, *, wants_ids: bool) -> None:
        self._tokenizer = tokenizer
        self._wants_ids = wants_ids
        self._chars_per_token = CHARS_PER_TOKEN
        self._seen = 0
        self._threads = ThreadPoolExecutor(1, "tokenise")  # one: more would only take the loop's cores
        self._complained = False

    def close(self) -> None:
        """End the thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def read(self, prompt: Prompt) -> Reading:
        """Tell a prompt's length, and its ids if they are wanted and can be had."""
        if prompt.token_ids:
            return Reading(sum(map(len, prompt.token_ids)), prompt.token_ids[0])
        tokenise = self._chosen(prompt)
        if tokenise is None:
            return Reading(self._estimate(prompt.chars), None)
        try:
            if prompt.chars <= IN_LOOP_CHARS:
                reading = tokenise()
            else:
                reading = await asyncio.get_running_loop().run_in_executor(self._threads, tokenise)
        except Exception as error:  # noqa: BLE001 - a template may raise anything; the engine will judge the request
            self._complain(error)
            return Reading(self._estimate(prompt.chars), None)
        self.learn(prompt.chars, reading.tokens)
        return reading

    def learn(self, chars: int, tokens: int) -> None:
        """A prompt of so many characters was found to have so many tokens."""
        if chars > 64 and tokens > 0:
            self._chars_per_token += _GAIN * (min(chars / tokens, 32.0) - self._chars_per_token)

    def _estimate(self, chars: int) -> int:
        return max(1, round(chars / self._chars_per_token))

    def _chosen(self, prompt: Prompt) -> Callable[[], Reading] | None:
        tokenizer = self._tokenizer
        if tokenizer is None or (prompt.messages is None and not prompt.texts):
            return None
        self._seen += 1
        if not self._wants_ids and self._seen > _ALWAYS_FIRST and self._seen % _ALWAYS_FIRST:
            return None
        return lambda: _tokenise(tokenizer, prompt)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            log.warning("a prompt cannot be tokenised (%s); such prompts are routed by length", type(error).__name__)


def _tokenise(tokenizer: Tokenizer, prompt: Prompt) -> Reading:
    if prompt.messages is not None:
        text = tokenizer.apply_chat_template(
            prompt.messages, prompt.tools, prompt.add_generation_prompt, extra=prompt.template_values
        )
        ids = tokenizer.encode_array(text)  # a template writes its special tokens itself
        return Reading(len(ids), ids)
    all_ids = [tokenizer.encode_array(text, add_special_tokens=True) for text in prompt.texts]
    return Reading(sum(map(len, all_ids)), all_ids[0])
