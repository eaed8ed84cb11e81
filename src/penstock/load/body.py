"""One request as the JSON that is sent: streamed, with usage, and as many tokens as the workload says.

`ignore_eos` and `min_tokens` (vLLM, SGLang and our own engine know them) make the answer exactly as long as the
workload says. A server that refuses them is asked without; its answers may then be shorter.
"""

from enum import StrEnum

import orjson


class Endpoint(StrEnum):
    """Which of OpenAI's two completion APIs to use."""

    COMPLETIONS = "completions"
    CHAT = "chat"

    @property
    def path(self) -> str:
        return "/v1/completions" if self is Endpoint.COMPLETIONS else "/v1/chat/completions"


def request_body(endpoint: Endpoint, model: str, prompt: str, output_tokens: int, *, exact_length: bool) -> bytes:
    """The JSON of one request."""
    body: dict[str, object] = {"model": model, "max_tokens": output_tokens}
    if endpoint is Endpoint.CHAT:
        body["messages"] = [{"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompt
    if exact_length:
        body["min_tokens"] = output_tokens
        body["ignore_eos"] = True
    body["stream"] = True
    body["stream_options"] = {"include_usage": True}
    return orjson.dumps(body)


def refuses_exact_length(status: int, message: str) -> bool:
    """Whether an answer refuses just the fields that make the length exact."""
    return status in (400, 422) and ("ignore_eos" in message or "min_tokens" in message)
