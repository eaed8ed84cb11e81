"""Requests through router and engines in virtual time: the hot loop of the simulator.

The router is the gateway's own, the engines are the worker's own; this module only carries word between them (requests
go by `dispatch`), in the order of instants: steps that end at an instant, then what else is due then (a KV transfer
that ends, a replica that becomes ready), then requests that arrive, then the planning of new steps. So a step that
starts at an instant knows all that arrived by then, and every event reaches the router when it happens.

It does not know pods or nodes, what an autoscaler sees, or what a GPU costs: replicas are `start`ed, `retire`d and
`kill`ed by whoever does. Time is in integer ticks. A worker whose burst goes on is not touched.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import heappop, heappush
from typing import Final

from penstock.engine.batch import Progress
from penstock.engine.config import EngineConfig
from penstock.engine.timeline import Moment
from penstock.errors import InputError
from penstock.hardware.steptime import TICKS_PER_S, StepTime
from penstock.kvcache.pool import CacheEvent, PagesStored
from penstock.messages.spec import ComponentSpec, DeploymentBody
from penstock.router.router import Router
from penstock.router.worker_info import WorkerInfo
from penstock.simulator.dispatch import Dispatch
from penstock.simulator.flight import Flight
from penstock.simulator.losses import Losses
from penstock.simulator.records import Records
from penstock.simulator.virtual_worker import Heap, VirtualWorker
from penstock.workload.arrival import BLOCK_TOKENS, Arrival

NEVER: Final = 1 << 200  # an instant after all others
# Workers whose bursts go on while they evict. Each costs every arrival a split of its burst, which pays while these are
# few, and pages so small that every few steps evict one.
_TELL_LATE: Final = 16  # workers
_SMALL_PAGE: Final = 4  # blocks
_BLOCK_TOKENS: Final = 16  # of a workload that names no blocks; nothing depends on it


class Serving:
    """All engines of a deployment behind its router.

    Args:
        arrivals: the workload, in order of time, from 0 s on.
        records: is told what becomes of each request, and of each burst of tokens.
        workers_export: whether workers keep vLLM's latency histograms.
        drained: called with a retired worker's id when its last request has ended.
    """

    def __init__(
        self,
        spec: DeploymentBody,
        arrivals: Iterator[Arrival],
        records: Records,
        *,
        workers_export: bool,
        drained: Callable[[str], None],
    ) -> None:
        self.now = 0
        self.workers: dict[str, VirtualWorker] = {}
        self._arrivals = arrivals
        self._records = records
        self._workers_export = workers_export
        self._drained = drained
        self._late_after = int(spec.slo.itl_s * TICKS_PER_S)
        self._heap: Heap = []
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._touched: list[VirtualWorker] = []
        self._evicting: dict[VirtualWorker, None] = {}  # the router doesn't know yet of all that they evicted
        self._order = 0
        self._number = 0
        first = next(arrivals, None)
        self._take(first)
        self._page_tokens = first.block_tokens if first is not None else 0
        if first is not None and (first.prefix_blocks or first.block_tokens != BLOCK_TOKENS):
            _blocks_fit(spec, first.block_tokens)
        self.router = Router(
            spec.routing.policy, spec.slo.ttft_s, spec.slo.itl_s, block_tokens=self._page_tokens or _BLOCK_TOKENS
        )
        self._dispatch = Dispatch(
            spec,
            self.router,
            records,
            workers=self.workers,
            touched=self._touched,
            at=self.at,
            left=self._end_if_drained,
        )
        self._losses = Losses(self._dispatch, records)
        self.flights, self.held = self._dispatch.flights, self._dispatch.held

    @property
    def exhausted(self) -> bool:
        """Whether every request of the workload has arrived and ended."""
        return self._next is None and not self.flights

    def at(self, tick: int, call: Callable[[], None]) -> None:
        """Have something called at an instant, which is now or later."""
        self._order += 1
        heappush(self._timers, (tick, self._order, call))

    def start(self, component: ComponentSpec, worker_id: str) -> None:
        """A replica serves from now on; those who are held try again."""
        self._order += 1
        worker = VirtualWorker(
            worker_id,
            component.name,
            order=self._order,
            config=self._config(component),
            step_time=StepTime.from_spec(component.engine.step_time),
            start=self.now,
            late_after=self._late_after,
            exports=self._workers_export,
        )
        small = worker.engine.config.page_blocks <= _SMALL_PAGE
        worker.engine.tells_late = small and len(self.workers) < _TELL_LATE
        self._tell_evictions()
        self.workers[worker_id] = worker
        self.router.add_worker(WorkerInfo(id=worker_id, role=component.role, engine=component.engine))
        self._dispatch.try_held(self.now)

    def retire(self, worker_id: str) -> None:
        """Send a replica nothing more; `drained` is called once it has nothing left."""
        worker = self.workers[worker_id]
        worker.draining = True
        self.router.remove_worker(worker_id)
        self._end_if_drained(worker)

    def kill(self, worker_id: str) -> None:
        """A replica is lost, and all that it held; its requests go the gateway's ways. To be called by a timer."""
        worker = self.workers[worker_id]
        self.split_burst(worker)  # what came until now has reached the clients
        if self.workers.pop(worker_id, None) is None:
            return  # its last token was among that, and it was to go
        worker.due = None
        self._touched[:] = [touched for touched in self._touched if touched is not worker]
        self.router.remove_worker(worker_id)
        self._losses.lost(worker, self.now)

    def run_to(self, to: int) -> None:
        """Let everything happen that is due by `to`."""
        heap, timers, touched = self._heap, self._timers, self._touched
        while True:
            at = self._next_at
            while heap:
                due, _, worker = heap[0]
                if worker.due == due:
                    if due < at:
                        at = due
                    break
                heappop(heap)
            if timers and timers[0][0] < at:
                at = timers[0][0]
            if at > to:
                break
            self.now = at
            while heap and heap[0][0] == at:
                worker = heappop(heap)[2]
                if worker.due == at:
                    worker.due = None
                    self._happened(worker, worker.timeline.finish())
                    touched.append(worker)
            if self._evicting and (self._next_at == at or (timers and timers[0][0] == at)):
                self._tell_evictions()
            while timers and timers[0][0] == at:
                heappop(timers)[2]()
            while self._next_at == at:
                self._arrive()
            if touched:
                for worker in touched:
                    worker.schedule(heap)
                    if worker.timeline.evicts:
                        self._evicting[worker] = None
                touched.clear()
        self.now = to

    def split_bursts(self) -> None:
        """Split the bursts under way at this instant, so that every counter is exact: for a scrape."""
        for worker in tuple(self.workers.values()):
            self.split_burst(worker)

    def split_burst(self, worker: VirtualWorker) -> None:
        """The same for one worker."""
        if worker.due is not None:
            for moment in worker.timeline.catch_up(self.now):
                self._happened(worker, moment)
            if worker.id in self.workers:
                worker.schedule(self._heap)

    def _tell_evictions(self) -> None:
        """The router is about to choose: it hears of all that was evicted until now."""
        for worker in self._evicting:
            if worker.due is not None and worker.timeline.evicts:
                for moment in worker.timeline.catch_up(self.now):
                    self._happened(worker, moment)
                self._touched.append(worker)
        self._evicting.clear()

    def _config(self, component: ComponentSpec) -> EngineConfig:
        """Hashes name the trace's blocks, which are coarser than the engine's: one entry a page, not one a block."""
        config = EngineConfig.from_spec(component.engine, component.role)
        return replace(config, page_blocks=max(1, self._page_tokens // config.block_tokens))

    # --- a request's way

    def _arrive(self) -> None:
        arrival = self._next
        assert arrival is not None
        flight = Flight(self._number, self.now, arrival)
        self._number += 1
        self.flights[flight.number] = flight
        self._records.arrived(flight)
        self._take(next(self._arrivals, None))
        self._dispatch.route(flight, self.now)

    def _take(self, arrival: Arrival | None) -> None:
        """This is the next to arrive; None: no more do."""
        self._next = arrival
        self._next_at = NEVER if arrival is None else round(arrival.arrival_s * TICKS_PER_S)

    def _happened(self, worker: VirtualWorker, moment: Moment) -> None:
        """Pass on what came of some steps."""
        progress, at = moment.progress, moment.at
        if moment.gaps or progress.preempted:
            worker.count(moment)
            self._records.gaps(moment.gaps)
        else:
            worker.steps += progress.steps
        if progress.cache:
            self._cached(worker, progress.cache)
        if worker.computes_only:
            for number in progress.prefilled:
                self._dispatch.hand_over(worker.requests[number], self.now)
        else:
            now_s = at / TICKS_PER_S
            if progress.first_tokens:
                self._started(worker, progress, at, now_s)
            for number in progress.finished:
                flight = worker.requests.pop(number)
                self.router.finished(number, now_s, flight.arrival.output_tokens)
                del self.flights[number]
                self._records.completed(flight, at, worker.steps - flight.steps, worker.late_steps - flight.late_steps)
        if worker.draining:
            self._end_if_drained(worker)

    def _started(self, worker: VirtualWorker, progress: Progress, at: int, now_s: float) -> None:
        """First tokens came."""
        for number, cached in zip(progress.first_tokens, progress.cached_tokens, strict=True):
            flight = worker.requests[number]
            flight.first_at = at
            flight.steps, flight.late_steps = worker.steps, worker.late_steps
            if cached > flight.cached:
                flight.cached = cached
            if worker.ttft is not None:
                worker.ttft.observe((at - flight.at) / TICKS_PER_S)
            self.router.first_token(number, now_s)
            self._records.first_token(flight)

    def _cached(self, worker: VirtualWorker, events: tuple[CacheEvent, ...]) -> None:
        """Pages were stored and removed."""
        for event in events:
            if isinstance(event, PagesStored):
                self.router.stored(worker.id, event.hashes, event.parent)
            else:
                self.router.removed(worker.id, event.hashes)

    def _end_if_drained(self, worker: VirtualWorker) -> None:
        if worker.draining and not worker.requests and self._dispatch.has(worker):
            del self.workers[worker.id]
            worker.due = None
            self._drained(worker.id)


def _blocks_fit(spec: DeploymentBody, tokens: int) -> None:
    """Raises: InputError, unless a block of the trace is a whole number of blocks of each engine."""
    for pool in spec.pools:
        if tokens % pool.engine.block_tokens:
            raise InputError(
                f"components {pool.name}: engine.blockTokens",
                f"{pool.engine.block_tokens} does not divide the trace's prefix blocks of {tokens} tokens",
                "give a divisor",
            )
