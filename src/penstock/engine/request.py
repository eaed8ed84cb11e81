"""What an engine is asked to do, and why it may refuse.

PenstockError
├── NeverFits    the request needs more KV blocks than the engine has: refuse it for good
└── Draining     the engine takes no new requests: go elsewhere
"""

from collections.abc import Sequence

from penstock.errors import PenstockError


class NeverFits(PenstockError):
    """The request could not run even if it had the engine to itself."""


class Draining(PenstockError):
    """The engine finishes what it has and takes nothing new."""


class EngineRequest:
    """One request.

    Args:
        id: unique among the requests that the engine knows.
        prompt_tokens: at least 1.
        max_tokens: tokens it will produce, at least 1. The engine samples nothing; a request that may end sooner is
            cancelled when it does. A prefill engine produces one, whatever this says.
        block_hashes: chained hashes of the prompt's full pages, root first; then, where the output is known ahead, of
            those that prompt and output fill together. Fewer, or none, is fine: then less is shared.
        local_prefill: on a decode engine: its KV does not arrive, so the prompt is computed here.
    """

    __slots__ = ("block_hashes", "id", "local_prefill", "max_tokens", "prompt_tokens")

    def __init__(
        self,
        id: int,  # noqa: A002 - the field's name everywhere
        prompt_tokens: int,
        max_tokens: int,
        block_hashes: Sequence[int] = (),
        local_prefill: bool = False,
    ) -> None:
        if prompt_tokens < 1 or max_tokens < 1:
            raise ValueError(
                f"request {id}: a prompt and an output of at least one token, not {prompt_tokens} and {max_tokens}"
            )
        self.id = id
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.block_hashes = block_hashes
        self.local_prefill = local_prefill
