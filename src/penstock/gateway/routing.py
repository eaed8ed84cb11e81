"""Ties the pure router to what happens here: who is listed, who just failed, where each worker is reached.

A worker that failed is *avoided* for a moment by all requests, longer each time in a row, and then tried again: by the
next request that would go there. Discovery decides who is listed at all; this only bridges the time until it knows.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.errors import InputError
from penstock.gateway.settings import GatewaySettings
from penstock.gateway.upstream import Address, parse_address
from penstock.messages.worker import Role, WorkerRecord
from penstock.router.explanation import Explanation
from penstock.router.route_request import Choice, RouteRequest
from penstock.router.router import Router
from penstock.router.worker_info import WorkerInfo, WorkerLoad

log = logging.getLogger(__name__)

_AVOID_FIRST_S = 0.5  # a supervisor sees a dead process in less
_AVOID_MOST_S = 5.0  # so that a worker that is back is found within seconds
_DOUBLINGS_MOST = 4  # from the first to the most


@dataclass(frozen=True, slots=True)
class Member:
    """A listed worker."""

    record: WorkerRecord
    address: Address


class _Avoided:
    __slots__ = ("strikes", "until_s")

    def __init__(self) -> None:
        self.strikes = 0
        self.until_s = 0.0


class Routing:
    """Who may serve, and who does. One owner: the event loop."""

    def __init__(self, settings: GatewaySettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._members: dict[str, Member] = {}
        self._avoided: dict[str, _Avoided] = {}
        self.router = self._make(settings.block_tokens)
        self.turnover = 0  # how often the set of workers changed

    @property
    def members(self) -> Sequence[Member]:
        """All listed workers."""
        return tuple(self._members.values())

    @property
    def block_tokens(self) -> int:
        """Tokens per block of the hashes that the router is asked with."""
        return self.router.block_tokens

    @property
    def can_serve(self) -> bool:
        """Whether some listed worker may answer a request: an aggregated one, or a decode worker."""
        return any(member.record.role is not Role.PREFILL for member in self._members.values())

    def some_may_serve(self, now_s: float) -> bool:
        """Whether some worker may answer a request and is not avoided now."""
        return any(
            member.record.role is not Role.PREFILL and not self._avoids(worker, now_s)
            for worker, member in self._members.items()
        )

    def member(self, worker: str) -> Member:
        """A listed worker by id: whoever has just been chosen. Raises: KeyError, for others."""
        return self._members[worker]

    def update(self, records: Sequence[WorkerRecord]) -> tuple[list[Member], list[Member]]:
        """Take the list that discovery gives. Returns: who came, who went."""
        listed = {record.id: record for record in records}
        gone = [member for key, member in self._members.items() if listed.get(key) != member.record]
        for member in gone:
            del self._members[member.record.id]
            self._avoided.pop(member.record.id, None)
            self.router.remove_worker(member.record.id)
        came = []
        for record in listed.values():
            if record.id in self._members:
                continue
            try:
                member = Member(record, parse_address(record.url, where=f"worker {record.id}"))
            except InputError as error:
                log.error("not using a worker: %s", error)
                continue
            self._adopt_block_size(record)
            self.router.add_worker(WorkerInfo.from_record(record))
            self._members[record.id] = member
            came.append(member)
        if came or gone:
            self.turnover += 1
        return came, gone

    def choose(self, request: RouteRequest, now_s: float) -> Choice | None:
        """The router's choice among those that are not avoided now."""
        return self.router.choose(self._without_avoided(request, now_s), now_s=now_s)

    def explain(self, request: RouteRequest, now_s: float) -> Explanation:
        """Every worker's price."""
        return self.router.explain(self._without_avoided(request, now_s), now_s)

    def failed(self, worker: str, now_s: float) -> None:
        """A worker failed a request: avoid it for a moment."""
        if worker not in self._members:
            return
        avoided = self._avoided.setdefault(worker, _Avoided())
        if now_s >= avoided.until_s:  # many requests that fail together are one strike
            avoided.until_s = now_s + min(_AVOID_FIRST_S * 2**avoided.strikes, _AVOID_MOST_S)
            avoided.strikes = min(avoided.strikes + 1, _DOUBLINGS_MOST)

    def answered(self, worker: str) -> None:
        """A worker answered: whatever it did before is forgiven."""
        if self._avoided:
            self._avoided.pop(worker, None)

    def measured(self, worker: str, load: WorkerLoad, now_s: float) -> None:
        """A scrape told what a worker has."""
        self.router.measured(worker, load, now_s)

    def _avoids(self, worker: str, now_s: float) -> bool:
        avoided = self._avoided.get(worker)
        return avoided is not None and avoided.until_s > now_s

    def _without_avoided(self, request: RouteRequest, now_s: float) -> RouteRequest:
        if not self._avoided:
            return request
        avoided = frozenset(worker for worker in self._avoided if self._avoids(worker, now_s))
        return request.excluding(request.exclude | avoided) if avoided else request

    def _adopt_block_size(self, record: WorkerRecord) -> None:
        """The first worker that tells its block size sets ours; a router without workers can be made anew."""
        if record.engine is None or record.engine.block_tokens == self.router.block_tokens:
            return
        if not self.router.workers:
            self.router = self._make(record.engine.block_tokens)
        else:
            log.warning(
                "worker %s has blocks of %d tokens, the others %d: its prefix hits may be missed",
                record.id,
                record.engine.block_tokens,
                self.router.block_tokens,
            )

    def _make(self, block_tokens: int) -> Router:
        settings = self._settings
        return Router(settings.policy, settings.slo_ttft_s, settings.slo_itl_s, block_tokens=block_tokens)
