"""What the router is asked, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

RequestId = int | str


@dataclass(slots=True, kw_only=True)  # not frozen: one per request on the hot path, freezing takes five times as long
class RouteRequest:
    """A request to place. Nobody changes one.

    Args:
        id: unique among requests in flight.
        expected_output_tokens: 0 if unknown: then the mean of what was seen counts.
        block_hashes: chained hashes of the prompt's full blocks, root first (`kvcache.hashing`); empty, if prompts
            are not hashed.
        streams: whether its first token will be seen; if not, it is taken to come when predicted.
        exclude: ids of workers not to choose, for example since they just failed this request.
    """

    id: RequestId
    prompt_tokens: int
    expected_output_tokens: int = 0
    block_hashes: Sequence[int] = ()
    streams: bool = True
    exclude: frozenset[str] = frozenset()


class Choice(NamedTuple):
    """Where a request goes. A named tuple: made for every request, and four times as fast as a frozen dataclass.

    Args:
        worker: id of the worker that answers: an aggregated one, or the decode worker.
        prefill_worker: id of the worker that computes the prompt first, if that is another.
        hit_tokens: prompt tokens that the computing worker is expected to find in its KV cache.
        predicted_ttft_s: from now until the first token.
        cost_s: what `kv` minimises: predicted TTFT, and the harm to others in seconds.
    """

    worker: str
    prefill_worker: str | None
    hit_tokens: int
    predicted_ttft_s: float
    cost_s: float
