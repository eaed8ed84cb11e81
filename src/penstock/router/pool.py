"""The workers of one role, in an order that lets a policy stop early.

With few workers each is priced. With many, each stands in one of three places:

- `idle`, with nothing to do: grouped by kind, those of one kind differing in nothing that a price knows but their
  prefix hit; of each kind the one chosen least recently first. So of each kind and hit one price is enough.
- `calm`, without a queue of prompts: by `floor_s`, which time doesn't change;
- `busy`, with one: by `drained_at_s`, when its queue would be done; less now, that bounds its wait.

The last two are bounds below which a worker's price can't be, but for what the request itself costs. That is at least
its price on `ideal`, a worker with the best term of each and nothing to do. Once the bound of the next worker plus that
is above the best price so far, no other in its list can win. A worker to which something happened is moved by binary
search, so 128 workers cost far less than 64 times 2.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from math import inf
from typing import Final

from penstock.router.candidate import Candidate, Weights
from penstock.router.worker_info import WorkerInfo

FEW: Final = 8  # up to here, pricing all is cheaper than sorting

# A bound (of an idle one: its turn), a number that tells equals apart, and the worker.
Ranked = tuple[float, int, Candidate]


class Kind:
    """Idle workers that cost the same: ranked by turn, and their bits."""

    __slots__ = ("bits", "ranked")

    def __init__(self) -> None:
        self.ranked: list[Ranked] = []
        self.bits = 0


class _Place:
    """Where a worker stands: in which list, as what; and of which kind it is there, if it is idle."""

    __slots__ = ("bit", "kind", "ranked", "row")

    def __init__(self, ranked: list[Ranked], row: Ranked, kind: tuple[float, ...] | None, bit: int) -> None:
        self.ranked = ranked
        self.row = row
        self.kind = kind
        self.bit = bit


class Pool:
    """Candidates of one role; those that something happened to are refreshed when the pool is next looked at."""

    __slots__ = (
        "_absorbed",
        "_by_bit",
        "_joined",
        "_places",
        "_stale",
        "_weights",
        "busy",
        "calm",
        "ideal",
        "idle",
        "many",
        "workers",
    )

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._by_bit: dict[int, Candidate] = {}
        self._stale: list[Candidate] = []
        self._absorbed = 0
        self._joined = 0
        self._places: dict[str, _Place] = {}  # by worker; only if they are `many`
        self.workers: list[Candidate] = []
        self.idle: dict[tuple[float, ...], Kind] = {}
        self.calm: list[Ranked] = []
        self.busy: list[Ranked] = []
        self.ideal = Candidate(WorkerInfo(id=""), turn=0)
        self.many = False

    def add(self, worker: Candidate) -> None:
        """Take in a worker."""
        self.workers.append(worker)
        self._by_bit[worker.bit] = worker
        worker.changed, worker.stale = self._stale, False
        self._sort_out()

    def remove(self, worker: Candidate) -> None:
        """Let a worker go."""
        self.workers.remove(worker)
        self._by_bit.pop(worker.bit, None)
        if worker in self._stale:
            self._stale.remove(worker)
        worker.stale = True
        self._sort_out()

    def set_bit(self, worker: Candidate, bit: int) -> None:
        """The worker is another bit in masks now."""
        self._by_bit.pop(worker.bit, None)
        worker.bit = bit
        self._by_bit[bit] = worker
        worker.touch()

    def in_mask(self, mask: int) -> Iterator[Candidate]:
        """The workers of this pool whose bits are in a mask."""
        by_bit = self._by_bit
        while mask:
            bit = mask & -mask
            mask ^= bit
            if bit in by_bit:
                yield by_bit[bit]

    def up_to_date(self) -> list[Candidate]:
        """All workers, with fresh terms; if they are `many`, each in its place. Not to be changed."""
        if self._stale:
            weights = self._weights
            for worker in self._stale:
                worker.refresh(weights)
                if self.many:
                    self._put(worker)
                    self._absorb(worker)
            self._stale.clear()
        return self.workers

    def _put(self, worker: Candidate) -> None:
        """Move a worker to where it belongs now."""
        place = self._places.get(worker.id)
        if place is not None:
            del place.ranked[bisect_left(place.ranked, place.row)]
            number = place.row[1]
            if place.kind is not None:
                kind = self.idle[place.kind]
                kind.bits ^= place.bit
                if not kind.ranked:
                    del self.idle[place.kind]
        else:
            self._joined += 1
            number = self._joined
        key: tuple[float, ...] | None = None
        if worker.idle:
            key = _kind_of(worker)
            kind = self.idle.get(key) or self.idle.setdefault(key, Kind())
            kind.bits |= worker.bit
            row, ranked = (float(worker.turn), number, worker), kind.ranked
        elif worker.busy:
            row, ranked = (worker.drained_at_s, number, worker), self.busy
        else:
            row, ranked = (worker.floor_s, number, worker), self.calm
        insort(ranked, row)
        self._places[worker.id] = _Place(ranked, row, key, worker.bit)

    def _sort_out(self) -> None:
        """A worker came or went: put all in their places anew, when the pool is next looked at."""
        self.many = len(self.workers) > FEW
        self._places.clear()
        self.idle.clear()
        self.calm.clear()
        self.busy.clear()
        self._absorbed = len(self.workers)  # the ideal is to be made anew
        for worker in self.workers:
            worker.touch()

    def _absorb(self, worker: Candidate) -> None:
        """Keep the ideal at least as good as every worker; from time to time, no better than needed."""
        self._absorbed += 1
        if self._absorbed <= len(self.workers):
            _improve(self.ideal, worker)
            return
        self._absorbed = 0
        ideal = self.ideal
        ideal.token_s = ideal.attention_s = ideal.step_s = ideal.sequence_s = ideal.context_token_s = inf
        ideal.stall_weight = ideal.decode_weight = ideal.transfer_latency_s = ideal.transfer_token_s = inf
        for each in self.workers:
            _improve(ideal, each)


def _kind_of(worker: Candidate) -> tuple[float, ...]:
    """All terms by which the prices of two idle workers can differ, but one: see `policy`."""
    return (
        worker.token_s,
        worker.attention_s,
        worker.step_s,
        worker.sequence_s,
        worker.context_token_s,
        worker.itl_cost_s,
        worker.kv_free_tokens,
        worker.transfer_latency_s,
        worker.transfer_token_s,
    )


def _improve(ideal: Candidate, worker: Candidate) -> None:
    """Take over each term that is better."""
    if worker.token_s < ideal.token_s:
        ideal.token_s = worker.token_s
    if worker.attention_s < ideal.attention_s:
        ideal.attention_s = worker.attention_s
    if worker.step_s < ideal.step_s:
        ideal.step_s = worker.step_s
    if worker.sequence_s < ideal.sequence_s:
        ideal.sequence_s = worker.sequence_s
    if worker.context_token_s < ideal.context_token_s:
        ideal.context_token_s = worker.context_token_s
    if worker.stall_weight < ideal.stall_weight:
        ideal.stall_weight = worker.stall_weight
    if worker.decode_weight < ideal.decode_weight:
        ideal.decode_weight = worker.decode_weight
    if worker.transfer_latency_s < ideal.transfer_latency_s:
        ideal.transfer_latency_s = worker.transfer_latency_s
    if worker.transfer_token_s < ideal.transfer_token_s:
        ideal.transfer_token_s = worker.transfer_token_s
