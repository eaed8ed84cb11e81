"""The KV blocks of one worker: who holds them, which stay cached after use, which are evicted when room is needed.

Decides only which cached page goes: the least recently used. Does not know tokens, requests or time.

A *page* is the run of blocks that one hash names: one block in an engine, more where hashes are coarser than blocks
(a trace that hashes 512 tokens over blocks of 16). Every block is in exactly one of four states:

- blank: free and empty;
- private: held by one sequence, unnamed. Private blocks are a count, never entries: their number is all that matters;
- a held page: named, with a count of the sequences that hold it;
- an idle page: named, held by nobody, kept for reuse until evicted.

Blank blocks are used before idle pages are evicted. Sequences hold leading runs of their hashes and release them last
page first, so that a child is always evicted before its parent: **the cached set stays prefix-closed**, and a prefix
index that follows the events is never told of a page whose parent is gone.

A page is stored once: a sequence that fills a page which is cached already shares it and gives its own blocks back, as
SGLang's radix cache does. (vLLM keeps both copies; there the pool fills a little sooner.) And vLLM queues blank blocks
behind idle ones by age; here blank goes first, which evicts no sooner.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)  # not frozen: one per run of stored pages, on the hot path
class PagesStored:
    """Pages that are now cached: a run of children of `parent` (None: a root), filled by request `request_id`.

    `first_page` is the place of the first of them in that request, so its tokens begin at `first_page * page_tokens`.
    """

    request_id: int
    first_page: int
    hashes: tuple[int, ...]
    parent: int | None


@dataclass(slots=True)
class PagesRemoved:
    """Pages that are no longer cached, in the order of their eviction."""

    hashes: tuple[int, ...]


CacheEvent = PagesStored | PagesRemoved


class BlockPool:
    """The blocks of one worker. Owned and changed by one engine.

    Args:
        num_blocks: blocks in all.
        page_blocks: blocks that one hash names.
    """

    __slots__ = ("_events", "_holders", "_idle", "blank", "num_blocks", "page_blocks")

    def __init__(self, num_blocks: int, page_blocks: int = 1) -> None:
        if num_blocks < 1 or page_blocks < 1:
            raise ValueError(f"a pool has blocks: {num_blocks} in pages of {page_blocks}")
        self.num_blocks = num_blocks
        self.page_blocks = page_blocks
        self.blank = num_blocks
        self._holders: dict[int, int] = {}  # hash of every cached page -> sequences that hold it
        # Pages with no holder, least recently used first. An OrderedDict: popping a plain dict's first key scans the
        # graves of those popped before.
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._events: list[CacheEvent] = []

    @property
    def used(self) -> int:
        """Blocks that sequences hold. O(1)."""
        return self.num_blocks - self.blank - self.page_blocks * len(self._idle)

    @property
    def available(self) -> int:
        """Blocks that can be had, by eviction if need be. O(1)."""
        return self.blank + self.page_blocks * len(self._idle)

    @property
    def cached_pages(self) -> int:
        """Pages that are cached, held or idle. O(1)."""
        return len(self._holders)

    def cached_hashes(self) -> frozenset[int]:
        """Names of all cached pages. O(pages): for checks and snapshots."""
        return frozenset(self._holders)

    def match(self, hashes: Sequence[int], limit: int) -> tuple[int, int]:
        """Count the leading pages that are cached, at most `limit`. Does not mutate.

        Returns: (pages, how many of them are idle, thus counted in `available`).
        """
        found = self._holders.get
        pages = idle = 0
        for page in hashes[:limit]:
            held_by = found(page)
            if held_by is None:
                break
            pages += 1
            if not held_by:
                idle += 1
        return pages, idle

    def hold(self, hashes: Sequence[int], pages: int) -> None:
        """Hold the leading `pages`, all of which are cached."""
        holders = self._holders
        idle = self._idle
        for page in hashes[:pages]:
            held_by = holders[page]
            holders[page] = held_by + 1
            if not held_by:
                del idle[page]

    def take(self, blocks: int) -> None:
        """Turn that many blank blocks private, after evicting what that needs.

        The caller has checked `available`. Raises: ValueError, if there are too few.
        """
        if blocks > self.blank:
            self._evict(blocks)
        self.blank -= blocks

    def store(self, request_id: int, hashes: Sequence[int], first: int, stop: int) -> None:
        """Name the private blocks that a sequence has filled: pages `first` to `stop` of its hashes, now held by it.

        It holds all pages before `first`. Pages that are cached already are shared, and the private blocks given back.
        """
        holders = self._holders
        while first < stop:
            page = hashes[first]
            held_by = holders.get(page)
            if held_by is None:
                break
            holders[page] = held_by + 1
            if not held_by:
                del self._idle[page]
            self.blank += self.page_blocks
            first += 1
        if first == stop:
            return
        # The cached set is prefix-closed: no page after the first missing one is cached.
        new = tuple(hashes[first:stop])
        holders.update(dict.fromkeys(new, 1))
        self._events.append(PagesStored(request_id, first, new, hashes[first - 1] if first else None))

    def release(self, private_blocks: int, hashes: Sequence[int], pages: int) -> None:
        """Give back a sequence's private blocks and its hold on the leading `pages`, last page first."""
        self.blank += private_blocks
        holders = self._holders
        idle = self._idle
        for page in reversed(hashes[:pages]):
            held_by = holders[page] - 1
            holders[page] = held_by
            if not held_by:
                idle[page] = None

    @property
    def has_events(self) -> bool:
        """Whether anything was stored or removed since `drain_events`. O(1)."""
        return bool(self._events)

    def drain_events(self) -> tuple[CacheEvent, ...]:
        """What was stored and removed since the last call, in order."""
        if not self._events:
            return ()
        events = tuple(self._events)
        self._events.clear()
        return events

    def check(self) -> None:
        """Raise ValueError, if counts and pages contradict each other. O(pages)."""
        idle = {page for page, held_by in self._holders.items() if held_by == 0}
        if idle != set(self._idle):
            raise ValueError(f"{len(idle)} pages have no holder, {len(self._idle)} are idle")
        held = len(self._holders) - len(idle)
        if min(self._holders.values(), default=0) < 0:
            raise ValueError("a page has fewer than no holders")
        if not 0 <= self.blank <= self.num_blocks - self.page_blocks * len(self._holders):
            raise ValueError(f"{self.blank} blank of {self.num_blocks} blocks, with {held} held pages")

    def _evict(self, blocks: int) -> None:
        """Evict idle pages, the least recently used first, until `blocks` are blank."""
        if blocks > self.available:
            raise ValueError(f"{blocks} blocks wanted, {self.available} available")
        missing = -(-(blocks - self.blank) // self.page_blocks)
        holders = self._holders
        popitem = self._idle.popitem
        removed: list[int] = []
        for _ in range(missing):
            page, _none = popitem(last=False)
            del holders[page]
            removed.append(page)
        self.blank += missing * self.page_blocks
        self._events.append(PagesRemoved(tuple(removed)))
