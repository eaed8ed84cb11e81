"""What sequences hold of the KV pool: cached pages at their front, private blocks behind.

Knows a sequence's tokens and hashes; not why it is given blocks or loses them.

A sequence of t tokens holds ceil(t / block_tokens) blocks. The leading `sequence.pages` of its hashes name the first of
them, the rest is private; so what it holds follows from t and that one number, and no table of blocks is kept: only the
run of cached pages in which those that it holds end.
"""

from penstock.engine.config import EngineConfig
from penstock.engine.sequence import Sequence
from penstock.kvcache.pool import BlockPool


class Holdings:
    """The pool of one engine, as its sequences use it."""

    __slots__ = ("_block_tokens", "_page_blocks", "_page_tokens", "pool")

    def __init__(self, config: EngineConfig) -> None:
        self.pool = BlockPool(config.kv_blocks, config.page_blocks)
        self._block_tokens = config.block_tokens
        self._page_blocks = config.page_blocks
        self._page_tokens = config.page_tokens

    def take(self, sequence: Sequence) -> int | None:
        """Give a sequence that holds nothing its cached prefix, and blocks for the rest of its `target` tokens.

        Unless its KV arrives, one token at least is left to compute, so that there is something to sample from.
        Returns: tokens found cached; None, and nothing taken, if blocks lack.
        """
        pool = self.pool
        tokens = sequence.target
        blocks = -(-tokens // self._block_tokens)
        hashes = sequence.block_hashes
        if not hashes:
            if blocks > pool.blank:
                if blocks > pool.available:
                    return None
                pool.take(blocks)
            else:
                pool.blank -= blocks
            return 0
        most = tokens if sequence.kv_arrives else tokens - 1
        pages, idle, run, of_run = pool.match(hashes, most // self._page_tokens)
        blocks -= pages * self._page_blocks
        if blocks > pool.available - idle * self._page_blocks:
            return None
        if run is not None:
            sequence.last_run = pool.hold(run, of_run)
        pool.take(blocks)
        sequence.pages = pages
        return pages * self._page_tokens

    def name_filled(self, sequence: Sequence, tokens: int) -> None:
        """Cache the pages that the sequence's first `tokens` tokens fill and that have names."""
        hashes = sequence.block_hashes
        full = min(tokens // self._page_tokens, len(hashes))
        if full > sequence.pages:
            sequence.last_run = self.pool.store(sequence.id, hashes, sequence.pages, full, sequence.last_run)
            sequence.pages = full

    def give_back(self, sequence: Sequence, tokens: int) -> None:
        """Let go of everything that a sequence with blocks for `tokens` tokens holds."""
        blocks = -(-tokens // self._block_tokens)
        if not sequence.pages:
            self.pool.blank += blocks
            return
        self.pool.release(blocks - sequence.pages * self._page_blocks, sequence.last_run)
        sequence.pages = 0
        sequence.last_run = None
