"""What became of one request, as its client saw it: a line of `requests.jsonl`."""

from dataclasses import dataclass
from enum import StrEnum


class Ending(StrEnum):
    """How a request ended. `offered = completed + rejected + failed`, always."""

    COMPLETED = "completed"
    REJECTED = "rejected"  # refused with 429 or 503
    FAILED = "failed"  # anything else: error, cut stream, no answer


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutcome:
    """One request. Latency counts from `intended_s`, when it should have been sent, not from when it was.

    Args:
        intended_s, sent_s: seconds since the start of the run.
        ttft_s: None if no token came. e2e_s: until the end, however it ended.
        itl_s: gaps between tokens as (gap, tokens) runs: one gap each for `tokens` tokens, in order.
    """

    id: str
    intended_s: float
    sent_s: float
    ending: Ending
    status: int
    ttft_s: float | None = None
    e2e_s: float | None = None
    itl_s: tuple[tuple[float, int], ...] = ()
    prompt_tokens: int = 0
    prompt_cached_tokens: int = 0
    output_tokens: int = 0
    error: str | None = None
