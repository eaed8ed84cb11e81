"""One request inside an engine: how far it is and what it holds."""

from collections.abc import Sequence as Hashes
from enum import Enum

from penstock.engine.request import EngineRequest
from penstock.kvcache.run import Run


class SequenceState(Enum):
    """Where a request is in its engine."""

    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    PINNED = "pinned"  # prefilled; its KV waits to be read


class Sequence:
    """A request's mutable state. While it decodes, progress is implicit in the engine's step counter."""

    __slots__ = (
        "admission",
        "block_hashes",
        "cached_tokens",
        "cancelled",
        "computed",
        "finish_step",
        "id",
        "kv_arrives",
        "last_run",
        "max_tokens",
        "offset",
        "pages",
        "prompt_tokens",
        "started",
        "state",
        "target",
    )

    def __init__(self, request: EngineRequest, max_tokens: int, kv_arrives: bool) -> None:
        self.id = request.id
        self.prompt_tokens = request.prompt_tokens
        self.max_tokens = max_tokens
        self.block_hashes: Hashes[int] = request.block_hashes
        self.kv_arrives = kv_arrives  # the prompt's KV comes from a prefill engine; false once it was preempted
        self.state = SequenceState.WAITING
        self.target = request.prompt_tokens  # tokens to compute before the next one can be sampled
        self.computed = 0  # of those, computed or scheduled; meaningful until it decodes
        self.cached_tokens = -1  # tokens found cached when first admitted; -1: not admitted yet
        self.pages = 0  # leading pages held
        self.last_run: Run | None = None  # of the pool, in which these end
        self.admission = -1  # number of its admission: the order of running
        self.started = False  # whether its first token is out
        # While it decodes: its last step, and its context (the token being computed included) less that step's number.
        self.finish_step = 0
        self.offset = 0
        self.cancelled = False
