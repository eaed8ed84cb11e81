"""One worker's KV events in our own block names. Pure: events in, changes to the prefix index out.

Engines name blocks by hashes of their own (sha256, Python's, with salts); the index is keyed by ours. A stored run
carries its token ids and its parent's name, so our names follow from the parent's: any engine's algorithm works. An
engine block may hold several of ours (32 tokens against 16); any other mismatch cannot be translated.

Left out, since equal tokens would not mean equal blocks: runs with adapters or extra keys (images, salts). Runs whose
parent is unknown are left out too: without its root a block is never asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.kvcache.events import AllBlocksCleared, BlockRemoved, BlockStored, Event
from penstock.kvcache.hashing import extend_hashes

MAX_BLOCKS = 4_000_000  # known per worker; far beyond any GPU's cache, so beyond it something is wrong: start anew


@dataclass(frozen=True, slots=True)
class Stored:
    """The worker holds these now; ours, in order, the first under `parent`."""

    hashes: list[int]
    parent: int | None


@dataclass(frozen=True, slots=True)
class Removed:
    """The worker holds these no longer."""

    hashes: list[int]


@dataclass(frozen=True, slots=True)
class Cleared:
    """The worker holds nothing."""


Change = Stored | Removed | Cleared


class KvTranslation:
    """The names of one worker's blocks, theirs to ours. One owner, changed only by `translate` and `forget`."""

    def __init__(self, block_tokens: int) -> None:
        self._block_tokens = block_tokens
        self._ours: dict[int, tuple[int, ...]] = {}

    def __len__(self) -> int:
        """Blocks of theirs that are known."""
        return len(self._ours)

    def forget(self) -> None:
        """Events were lost: nothing that was known holds any more."""
        self._ours.clear()

    def translate(self, events: tuple[Event, ...]) -> Iterator[Change]:
        """What these events change, in order."""
        for event in events:
            if isinstance(event, BlockStored):
                if len(self._ours) > MAX_BLOCKS:
                    self._ours.clear()
                    yield Cleared()
                stored = self._stored(event)
                if stored is not None:
                    yield stored
            elif isinstance(event, BlockRemoved):
                names = [ours for theirs in event.block_hashes for ours in self._ours.pop(theirs, ())]
                if names:
                    yield Removed(names)
            elif isinstance(event, AllBlocksCleared):
                self._ours.clear()
                yield Cleared()

    def _stored(self, event: BlockStored) -> Stored | None:
        """The run in our names; None, if it is left out."""
        each, rest = divmod(event.block_size, self._block_tokens)
        whole = len(event.token_ids) == event.block_size * len(event.block_hashes)
        if rest or not each or not whole or not event.block_hashes:
            return None
        if event.lora_id is not None or event.lora_name is not None or any(event.extra_keys or ()):
            return None
        if event.parent_block_hash is None:
            parent, seed = None, 0
        else:
            known = self._ours.get(event.parent_block_hash)
            if known is None:
                return None
            parent = seed = known[-1]
        try:
            names = extend_hashes(seed, event.token_ids, self._block_tokens)
        except ValueError:
            return None
        for index, theirs in enumerate(event.block_hashes):
            self._ours[theirs] = tuple(names[index * each : (index + 1) * each])
        return Stored(names, parent)
