"""What the next step does, and what came of it."""

from dataclasses import dataclass

from penstock.kvcache.pool import CacheEvent


@dataclass(slots=True)  # not frozen: one per step on the hot path, and freezing takes four times as long
class Batch:
    """The next step, and how many times it can repeat unchanged. `StepTime` prices it.

    Args:
        prefill_tokens: prompt tokens computed.
        prefill_pairs: (query, key) pairs of those tokens.
        sequences: sequences that decode one token.
        context_tokens: their summed context in the first of the steps, the token being computed included; each
            further step adds `sequences`.
        steps: how many such steps may be committed at once: until one finishes, fills a page with a name, or the
            pool has no blank block left. 1 if anybody is admitted, preempted or evicted.
        preempted: requests that lost their place when this batch was planned, youngest first.
    """

    prefill_tokens: int
    prefill_pairs: int
    sequences: int
    context_tokens: int
    steps: int
    preempted: tuple[int, ...] = ()


@dataclass(slots=True)  # not frozen, as Batch
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

    steps: int
    first_tokens: tuple[int, ...] = ()
    cached_tokens: tuple[int, ...] = ()
    resumed: tuple[int, ...] = ()
    finished: tuple[int, ...] = ()
    prefilled: tuple[int, ...] = ()
    preempted: tuple[int, ...] = ()
    cache: tuple[CacheEvent, ...] = ()
