"""The pool as its rules say it, page by page: the reference that the pool of runs must equal to the last event."""

from collections import OrderedDict

from penstock.kvcache.pool import CacheEvent, PagesRemoved, PagesStored


class SinglePages:
    """A count of holders for every page, and idle pages in order of their last use."""

    def __init__(self, num_blocks: int, page_blocks: int) -> None:
        self.blank = num_blocks
        self.page_blocks = page_blocks
        self.holders: dict[int, int] = {}
        self.idle: OrderedDict[int, None] = OrderedDict()
        self.events: list[CacheEvent] = []

    def match(self, hashes: list[int], limit: int) -> tuple[int, int]:
        pages = idle = 0
        for page in hashes[:limit]:
            if page not in self.holders:
                break
            pages += 1
            idle += not self.holders[page]
        return pages, idle

    def hold(self, hashes: list[int], first: int, stop: int) -> None:
        for page in hashes[first:stop]:
            self.holders[page] += 1
            self.idle.pop(page, None)

    def take(self, blocks: int) -> None:
        removed = []
        while self.blank < blocks:
            page, _ = self.idle.popitem(last=False)
            del self.holders[page]
            removed.append(page)
            self.blank += self.page_blocks
        if removed:
            self.events.append(PagesRemoved(tuple(removed)))
        self.blank -= blocks

    def store(self, request_id: int, hashes: list[int], first: int, stop: int) -> None:
        while first < stop and hashes[first] in self.holders:
            self.hold(hashes, first, first + 1)
            self.blank += self.page_blocks
            first += 1
        new = tuple(hashes[first:stop])
        if new:
            self.holders.update(dict.fromkeys(new, 1))
            self.events.append(PagesStored(request_id, first, new, hashes[first - 1] if first else None))

    def release(self, private_blocks: int, hashes: list[int], pages: int) -> None:
        self.blank += private_blocks
        for page in reversed(hashes[:pages]):
            self.holders[page] -= 1
            if not self.holders[page]:
                self.idle[page] = None
