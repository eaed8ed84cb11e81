"""The engine's own count of tokens, from a response's `usage`. Anything odd is left out, never guessed at."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one request. `cached_tokens` is None where the engine does not tell."""

    prompt_tokens: int
    output_tokens: int
    cached_tokens: int | None = None


def usage_of(document: Any) -> Usage | None:
    """Read `usage` of a parsed response or event; None if it has none."""
    usage = document.get("usage") if isinstance(document, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt, output = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None:
        return None
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Usage(prompt_tokens=prompt, output_tokens=output or 0, cached_tokens=cached)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
