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

Pages are kept as runs (`run`), a radix tree: what sequences do to a thousand pages costs what it does to the few runs
that these form. The outcome is that of a list of single pages, least recently used first, to the last event: along a
path holders never grow in number, so what a sequence leaves idle is the tail of its path, and it is evicted from there.

A page is stored once: a sequence that fills a page which is cached already shares it and gives its own blocks back, as
SGLang's radix cache does. (vLLM keeps both copies; there the pool fills a little sooner.) And vLLM queues blank blocks
behind idle ones by age; here blank goes first, which evicts no sooner.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from penstock.kvcache.run import Run, common


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


class Found(NamedTuple):
    """The leading pages of a chain that are cached.

    Args:
        pages: how many; `idle`: how many of them nobody holds, so that they count in `available`.
        run: the one in which they end, after `of_run` of its pages; None, if there are none.
    """

    pages: int
    idle: int
    run: Run | None
    of_run: int


_NOTHING = Found(0, 0, None, 0)


class BlockPool:
    """The blocks of one worker. Owned and changed by one engine.

    Args:
        num_blocks: blocks in all.
        page_blocks: blocks that one hash names.
    """

    __slots__ = ("_idle", "_idle_pages", "_runs", "blank", "cached_pages", "events", "num_blocks", "page_blocks")

    def __init__(self, num_blocks: int, page_blocks: int = 1) -> None:
        if num_blocks < 1 or page_blocks < 1:
            raise ValueError(f"a pool has blocks: {num_blocks} in pages of {page_blocks}")
        self.num_blocks = num_blocks
        self.page_blocks = page_blocks
        self.blank = num_blocks
        self.cached_pages = 0  # held or idle
        self._runs: dict[int, Run] = {}  # by their first page
        # Runs with no holder, least recently used first. An OrderedDict: the first key of a plain dict is found by
        # walking over the graves of those before it.
        self._idle: OrderedDict[Run, None] = OrderedDict()
        self._idle_pages = 0
        self.events: list[CacheEvent] = []  # what was stored and removed since `drain_events`, in order

    @property
    def used(self) -> int:
        """Blocks that sequences hold. O(1)."""
        return self.num_blocks - self.blank - self.page_blocks * self._idle_pages

    @property
    def available(self) -> int:
        """Blocks that can be had, by eviction if need be. O(1)."""
        return self.blank + self.page_blocks * self._idle_pages

    def cached_hashes(self) -> frozenset[int]:
        """Names of all cached pages. O(pages): for checks and snapshots."""
        return frozenset(self.holders())

    def holders(self) -> dict[int, int]:
        """How many sequences hold each cached page. O(pages): for checks."""
        return {page: run.holders for run in self._runs.values() for page in run.hashes}

    def match(self, hashes: Sequence[int], limit: int) -> Found:
        """Find the leading pages that are cached, at most `limit`. Does not mutate. O(runs)."""
        limit = min(limit, len(hashes))
        pages = idle = of_run = 0
        last: Run | None = None
        find = self._runs.get
        while pages < limit:
            run = find(hashes[pages])
            if run is None or run.parent is not last:
                break
            of_run = common(run.hashes, hashes, pages, limit)
            pages += of_run
            if not run.holders:
                idle += of_run
            last = run
            if of_run < len(run.hashes):
                break
        return Found(pages, idle, last, of_run) if pages else _NOTHING

    def hold(self, run: Run, pages: int) -> Run:
        """Hold a path down to the leading `pages` of `run`, where `match` found it to end.

        Returns: the run in which it ends, and stays to end until it is released.
        """
        end = run = self._share(run, pages)
        while run.parent is not None:
            run = run.parent
            if not run.holders:
                self._wake(run)
            run.holders += 1
        return end

    def take(self, blocks: int) -> None:
        """Turn that many blank blocks private, after evicting what that needs.

        The caller has checked `available`. Raises: ValueError, if there are too few.
        """
        if blocks > self.blank:
            self._evict(blocks)
        self.blank -= blocks

    def store(self, request_id: int, hashes: Sequence[int], first: int, stop: int, end: Run | None) -> Run | None:
        """Name the private blocks that a sequence has filled: pages `first` to `stop` of its hashes, now held by it.

        It holds all pages before `first`, the last of them at the end of `end`. Pages that are cached already are
        shared, and the private blocks given back. Returns: the run in which it ends now.
        """
        while first < stop:
            run = self._runs.get(hashes[first])
            if run is None or run.parent is not end:
                break
            pages = common(run.hashes, hashes, first, stop)
            end = self._share(run, pages)
            self.blank += pages * self.page_blocks
            first += pages
            if end is not run:
                break
        if first == stop:
            return end
        # The cached set is prefix-closed: no page after the first missing one is cached.
        new = tuple(hashes[first:stop])
        if end is not None and end.holders == 1 and not end.children:
            end.hashes += new
        else:
            if end is not None:
                end.children += 1
            end = self._runs[new[0]] = Run(list(new), end, 1)
        self.cached_pages += len(new)
        self.events.append(PagesStored(request_id, first, new, hashes[first - 1] if first else None))
        return end

    def release(self, private_blocks: int, end: Run | None) -> None:
        """Give back a sequence's private blocks and its hold on the path that ends with `end`, last page first."""
        self.blank += private_blocks
        while end is not None:
            end.holders -= 1
            if not end.holders:
                self._idle[end] = None
                self._idle_pages += len(end.hashes)
            end = end.parent

    def drain_events(self) -> tuple[CacheEvent, ...]:
        """What was stored and removed since the last call, in order."""
        events = tuple(self.events)
        self.events.clear()
        return events

    def check(self) -> None:
        """Raise ValueError, if counts and pages contradict each other. O(pages)."""
        runs = self._runs.values()
        idle = {run for run in runs if not run.holders}
        if idle != set(self._idle) or sum(len(run.hashes) for run in idle) != self._idle_pages:
            raise ValueError(f"{len(idle)} runs have no holder, {len(self._idle)} are idle")
        if sum(len(run.hashes) for run in runs) != self.cached_pages:
            raise ValueError(f"the runs do not have {self.cached_pages} pages")
        children = Counter(run.parent for run in runs)
        for run in runs:
            if self._runs[run.hashes[0]] is not run or children[run] != run.children:
                raise ValueError(f"run {run.hashes[0]} is not where it belongs")
            if not 0 <= run.holders <= (run.holders if run.parent is None else run.parent.holders):
                raise ValueError(
                    f"run {run.hashes[0]} has {run.holders} holders, more than its parent or less than none"
                )
        if not 0 <= self.blank <= self.num_blocks - self.page_blocks * self.cached_pages:
            raise ValueError(f"{self.blank} blank of {self.num_blocks} blocks, with {self.cached_pages} cached pages")

    def _share(self, run: Run, pages: int) -> Run:
        """One more sequence holds the leading `pages` of a run. Returns: these, as a run."""
        whole = pages == len(run.hashes)
        if not whole:
            run = self._parted(run, pages)
        if not run.holders:
            if whole:
                self._wake(run)
            else:
                self._idle_pages -= pages  # the rest stays idle, and as old as it is
        run.holders += 1
        return run

    def _parted(self, run: Run, pages: int) -> Run:
        """Split a run after its leading `pages`. Returns: these; what follows keeps its place among the idle."""
        head = run.split(pages)
        self._runs[head.hashes[0]] = head
        self._runs[run.hashes[0]] = run
        return head

    def _wake(self, run: Run) -> None:
        """An idle run is about to be held."""
        del self._idle[run]
        self._idle_pages -= len(run.hashes)

    def _evict(self, blocks: int) -> None:
        """Evict idle pages, the least recently used first, until `blocks` are blank."""
        if blocks > self.available:
            raise ValueError(f"{blocks} blocks wanted, {self.available} available")
        missing = left = -(-(blocks - self.blank) // self.page_blocks)
        idle = self._idle
        removed: list[int] = []
        while left:
            run = next(iter(idle))
            hashes = run.hashes
            if len(hashes) <= left:
                left -= len(hashes)
                del idle[run]
                del self._runs[hashes[0]]
                if run.parent is not None:
                    run.parent.children -= 1
                hashes.reverse()
                removed += hashes
            else:
                tail = hashes[-left:]
                del hashes[-left:]
                left = 0
                tail.reverse()
                removed += tail
        self._idle_pages -= missing
        self.cached_pages -= missing
        self.blank += missing * self.page_blocks
        self.events.append(PagesRemoved(tuple(removed)))
