"""What the router is asked, and what it answers."""

from collections.abc import Sequence
from typing import NamedTuple

RequestId = int | str
_NOBODY: frozenset[str] = frozenset()


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

    __slots__ = ("block_hashes", "exclude", "expected_output_tokens", "id", "prompt_tokens", "streams")

    def __init__(
        self,
        *,
        id: RequestId,  # noqa: A002 - the field's name everywhere
        prompt_tokens: int,
        expected_output_tokens: int = 0,
        block_hashes: Sequence[int] = (),
        streams: bool = True,
        exclude: frozenset[str] = _NOBODY,
    ) -> None:
        self.id = id
        self.prompt_tokens = prompt_tokens
        self.expected_output_tokens = expected_output_tokens
        self.block_hashes = block_hashes
        self.streams = streams
        self.exclude = exclude

    def excluding(self, exclude: frozenset[str]) -> "RouteRequest":
        """The same request, with these not to be chosen."""
        return RouteRequest(
            id=self.id,
            prompt_tokens=self.prompt_tokens,
            expected_output_tokens=self.expected_output_tokens,
            block_hashes=self.block_hashes,
            streams=self.streams,
            exclude=exclude,
        )


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
