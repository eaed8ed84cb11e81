"""What the next step does, and what came of it. Plain classes: made for every step, on the hot path."""

from penstock.kvcache.pool import CacheEvent


class Batch:
    """The next step, and how many times it can repeat unchanged. `StepTime` prices it.

    Args:
        prefill_tokens: prompt tokens computed.
        prefill_pairs: (query, key) pairs of those tokens.
        sequences: sequences that decode one token.
        context_tokens: their summed context in the first of the steps, the token being computed included; each
            further step adds `sequences`.
        decoding: sequences that wait for their next token: those that decode, but for a step of prompts only.
        steps: how many such steps may be committed at once: until one finishes, fills a page with a name, or the
            pool has no blank block left. 1 if anybody is admitted or preempted, or pages are evicted and told at once.
        preempted: requests that lost their place when this batch was planned, youngest first.
        evicts: whether pages are evicted that steps before the last should have told (`Engine.tells_late`).
    """

    __slots__ = (
        "context_tokens",
        "decoding",
        "evicts",
        "preempted",
        "prefill_pairs",
        "prefill_tokens",
        "sequences",
        "steps",
    )

    def __init__(
        self,
        prefill_tokens: int,
        prefill_pairs: int,
        sequences: int,
        context_tokens: int,
        steps: int,
        preempted: tuple[int, ...] = (),
    ) -> None:
        self.prefill_tokens = prefill_tokens
        self.prefill_pairs = prefill_pairs
        self.sequences = sequences
        self.context_tokens = context_tokens
        self.steps = steps
        self.preempted = preempted
        self.decoding = sequences
        self.evicts = False


class Progress:
    """What came of the committed steps. Requests are named by id, oldest first.

    Args:
        steps: how many were committed.
        first_tokens: requests that produced their first token, in the last of the steps.
        cached_tokens: of each of `first_tokens`, the prompt tokens that were found cached.
        resumed: requests that had been preempted and produced a token again, in the last of the steps.
        finished: requests that produced their last token, in the last of the steps; they are gone, and no longer known.
        prefilled: on a prefill engine: requests whose KV is ready to be read, and pinned until `release`; they are
            among `finished` too.
        preempted: as in the batch.
        cache: pages stored and removed, in order.
    """

    __slots__ = (
        "cache",
        "cached_tokens",
        "finished",
        "first_tokens",
        "preempted",
        "prefilled",
        "resumed",
        "steps",
    )

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.first_tokens: tuple[int, ...] = ()
        self.cached_tokens: tuple[int, ...] = ()
        self.resumed: tuple[int, ...] = ()
        self.finished: tuple[int, ...] = ()
        self.prefilled: tuple[int, ...] = ()
        self.preempted: tuple[int, ...] = ()
        self.cache: tuple[CacheEvent, ...] = ()
