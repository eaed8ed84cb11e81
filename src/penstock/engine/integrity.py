"""Checks an engine's O(1) counters against a count of everything it holds. For tests, and for a worker when idle."""

from collections import Counter
from typing import TYPE_CHECKING

from penstock.engine.sequence import SequenceState

if TYPE_CHECKING:
    from penstock.engine.engine import Engine


def check_engine(engine: "Engine") -> None:
    """Raise ValueError, if counters, sequences and blocks contradict each other. O(sequences + pages).

    Call it between batches: while one is planned, its blocks are taken and its tokens not yet there.
    """
    if engine._batch is not None:
        raise ValueError("an engine is checked between batches")
    config, pool, decoding = engine.config, engine._pool, engine._decoding
    pool.check()
    states = Counter(sequence.state for sequence in engine._sequences.values())
    partial = engine._partial
    _same("decoding sequences", decoding.count, states[SequenceState.DECODE], len(decoding.members))
    _same("partly computed prompts", states[SequenceState.PREFILL], int(partial is not None))
    _same("running", engine.running, states[SequenceState.DECODE] + states[SequenceState.PREFILL])
    queue = [sequence for sequence in engine._waiting if not sequence.cancelled]
    _same("waiting", engine.waiting, states[SequenceState.WAITING], len(queue))
    _same("pinned", engine.pinned, states[SequenceState.PINNED])
    queued = sum(sequence.target for sequence in queue if not sequence.kv_arrives)
    if partial is not None:
        queued += partial.target - partial.computed
    _same("queued prefill tokens", engine.queued_prefill_tokens, queued)
    offsets = sum(sequence.offset for sequence in decoding.members.values())
    _same("context", engine.context_tokens, offsets + decoding.count * (decoding.step + 1))

    private = 0
    holders: Counter[int] = Counter()
    for sequence in engine._sequences.values():
        if sequence.state is SequenceState.WAITING:
            _same(f"pages of waiting request {sequence.id}", sequence.pages, 0)
            continue
        decodes = sequence.state is SequenceState.DECODE
        tokens = sequence.offset + decoding.step if decodes else sequence.target
        private += config.blocks_for(tokens) - sequence.pages * config.page_blocks
        holders.update(sequence.block_hashes[: sequence.pages])
    _same("holders of pages", dict(holders), {page: held for page, held in pool.holders().items() if held})
    _same("blocks used", pool.used, private + config.page_blocks * len(holders))


def _same(what: str, *counts: object) -> None:
    if any(count != counts[0] for count in counts):
        raise ValueError(f"{what} disagree: {', '.join(map(str, counts))}")
