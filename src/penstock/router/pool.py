"""The workers of one role, in an order that lets a policy stop early.

With few workers each is priced. With many, two sorted lists are kept, by a bound below which a worker's price can't be,
but for what the request itself costs:

- `calm`, without a queue of prompts: by `floor_s`, which time doesn't change;
- `busy`, with one: by `drained_at_s`, when its queue would be done; less now, that bounds its wait.

What the request itself costs is at least its price on `ideal`, a worker with the best term of each and nothing to do.
Once the bound of the next worker plus that is above the best price so far, no other in its list can win. Nearly sorted
lists sort in about one comparison per worker, so 128 workers cost far less than 64 times 2.
"""

from collections.abc import Iterator
from math import inf
from operator import attrgetter

from penstock.router.candidate import Candidate, Weights
from penstock.router.worker_info import WorkerInfo

FEW = 8  # up to here, pricing all is cheaper than sorting

floor_of = attrgetter("floor_s")
drained_at_of = attrgetter("drained_at_s")

_TERMS = (
    "token_s",
    "attention_s",
    "step_s",
    "sequence_s",
    "context_token_s",
    "stall_weight",
    "decode_weight",
    "transfer_latency_s",
    "transfer_token_s",
)


class Pool:
    """Candidates of one role; those that something happened to are refreshed when the pool is next looked at."""

    __slots__ = ("_absorbed", "_by_bit", "_stale", "_weights", "busy", "calm", "ideal", "many", "workers")

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._by_bit: dict[int, Candidate] = {}
        self._stale: list[Candidate] = []
        self._absorbed = 0
        self.workers: list[Candidate] = []
        self.calm: list[Candidate] = []
        self.busy: list[Candidate] = []
        self.ideal = Candidate(WorkerInfo(id=""), turn=0)
        self.many = False

    def add(self, worker: Candidate) -> None:
        """Take in a worker."""
        self.workers.append(worker)
        self._by_bit[worker.bit] = worker
        worker.stale = False
        self.touch(worker)
        self._sort_out()

    def remove(self, worker: Candidate) -> None:
        """Let a worker go."""
        self.workers.remove(worker)
        self._by_bit.pop(worker.bit, None)
        if worker in self._stale:
            self._stale.remove(worker)
        self._sort_out()

    def set_bit(self, worker: Candidate, bit: int) -> None:
        """The worker is another bit in masks now."""
        self._by_bit.pop(worker.bit, None)
        worker.bit = bit
        self._by_bit[bit] = worker

    def in_mask(self, mask: int) -> Iterator[Candidate]:
        """The workers of this pool whose bits are in a mask."""
        by_bit = self._by_bit
        while mask:
            bit = mask & -mask
            mask ^= bit
            if bit in by_bit:
                yield by_bit[bit]

    def touch(self, worker: Candidate) -> None:
        """Something happened to the worker: its terms are to be worked out anew."""
        if not worker.stale:
            worker.stale = True
            self._stale.append(worker)

    def up_to_date(self) -> list[Candidate]:
        """All workers, with fresh terms; if they are `many`, `calm` and `busy` are sorted. Not to be changed."""
        if self._stale:
            weights = self._weights
            for worker in self._stale:
                was_busy = worker.busy
                worker.refresh(weights)
                if self.many:
                    if worker.busy is not was_busy:
                        (self.busy if was_busy else self.calm).remove(worker)
                        (self.busy if worker.busy else self.calm).append(worker)
                    self._absorb(worker)
            self._stale.clear()
            if self.many:
                self.calm.sort(key=floor_of)
                self.busy.sort(key=drained_at_of)
        return self.workers

    def _sort_out(self) -> None:
        self.many = len(self.workers) > FEW
        self.calm = [worker for worker in self.workers if not worker.busy]
        self.busy = [worker for worker in self.workers if worker.busy]
        self._absorbed = len(self.workers)  # the ideal is to be made anew
        for worker in self.workers:
            self.touch(worker)

    def _absorb(self, worker: Candidate) -> None:
        """Keep the ideal at least as good as every worker; from time to time, no better than needed."""
        ideal = self.ideal
        self._absorbed += 1
        workers = [worker]
        if self._absorbed > len(self.workers):
            self._absorbed = 0
            workers = self.workers
            for term in _TERMS:
                setattr(ideal, term, inf)
        for worker in workers:
            for term in _TERMS:
                value = getattr(worker, term)
                if value < getattr(ideal, term):
                    setattr(ideal, term, value)
