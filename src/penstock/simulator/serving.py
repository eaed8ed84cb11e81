"""Requests through router and engines in virtual time: the hot loop of the simulator.

The router is the gateway's own, the engines are the worker's own; this module only carries word between them, in the
order of instants: steps that end at an instant, then what else is due then (a KV transfer that ends, a replica that
becomes ready), then requests that arrive, then the planning of new steps. So a step that starts at an instant knows all
that arrived by then, and every event reaches the router when it happens.

It does not know pods or nodes, what an autoscaler sees, or what a GPU costs: replicas are `start`ed and `retire`d by
whoever does. Time is in integer ticks. A worker whose burst goes on is not touched.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import heappop, heappush

from penstock.engine.config import EngineConfig
from penstock.engine.request import EngineRequest, NeverFits
from penstock.engine.timeline import Moment
from penstock.errors import InputError
from penstock.hardware.steptime import TICKS_PER_S, StepTime
from penstock.kvcache.pool import PagesStored
from penstock.messages.outcome import Ending
from penstock.messages.spec import ComponentSpec, DeploymentBody
from penstock.messages.worker import Role
from penstock.router.route_request import RouteRequest
from penstock.router.router import Router
from penstock.router.worker_info import WorkerInfo
from penstock.simulator.flight import Flight
from penstock.simulator.records import Records
from penstock.simulator.virtual_worker import NOT_STARTED, Heap, VirtualWorker
from penstock.workload.arrival import BLOCK_TOKENS, Arrival

NEVER = 1 << 200  # an instant after all others
_BLOCK_TOKENS = 16  # of a workload that names no blocks; nothing depends on it


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
        self.spec = spec
        self.now = 0
        self.workers: dict[str, VirtualWorker] = {}
        self.flights: dict[int, Flight] = {}
        self.held: deque[Flight] = deque()
        self._arrivals = arrivals
        self._records = records
        self._workers_export = workers_export
        self._drained = drained
        self._late_after = int(spec.slo.itl_s * TICKS_PER_S)
        self._hold_for = int(spec.routing.hold_timeout_s * TICKS_PER_S)
        self._max_held = spec.routing.max_held_requests
        self._heap: Heap = []
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._touched: list[VirtualWorker] = []
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
        self.workers[worker_id] = worker
        self.router.add_worker(WorkerInfo(id=worker_id, role=component.role, engine=component.engine))
        held, self.held = self.held, deque()
        for flight in held:
            self._route(flight)

    def retire(self, worker_id: str) -> None:
        """Send a replica nothing more; `drained` is called once it has nothing left."""
        worker = self.workers[worker_id]
        worker.draining = True
        self.router.remove_worker(worker_id)
        self._end_if_drained(worker)

    def run_to(self, to: int) -> None:
        """Let everything happen that is due by `to`."""
        heap, timers, touched = self._heap, self._timers, self._touched
        while True:
            while heap and heap[0][2].due != heap[0][0]:
                heappop(heap)
            at = self._next_at
            if heap and heap[0][0] < at:
                at = heap[0][0]
            if timers and timers[0][0] < at:
                at = timers[0][0]
            if at > to:
                break
            self.now = at
            while heap and heap[0][0] == at:
                worker = heappop(heap)[2]
                if worker.due == at:
                    for moment in worker.timeline.advance(at):
                        self._happened(worker, moment)
                    touched.append(worker)
            while timers and timers[0][0] == at:
                heappop(timers)[2]()
            while self._next_at == at:
                self._arrive()
            for worker in touched:
                worker.schedule(heap)
            touched.clear()
        self.now = to

    def split_bursts(self) -> None:
        """Split the bursts under way at this instant, so that every counter is exact: for a scrape."""
        for worker in self.workers.values():
            if worker.due is not None:
                for moment in worker.timeline.catch_up(self.now):
                    self._happened(worker, moment)
                worker.schedule(self._heap)

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
        self._route(flight)

    def _take(self, arrival: Arrival | None) -> None:
        """This is the next to arrive; None: no more do."""
        self._next = arrival
        self._next_at = NEVER if arrival is None else round(arrival.arrival_s * TICKS_PER_S)

    def _route(self, flight: Flight) -> None:
        arrival = flight.arrival
        now_s = self.now / TICKS_PER_S
        hashes = _full_blocks(arrival)
        request = RouteRequest(id=flight.number, prompt_tokens=arrival.input_tokens, block_hashes=hashes)
        choice = self.router.choose(request, now_s=now_s)
        if choice is None:
            self._hold(flight)
            return
        self.router.sent(request, choice, now_s)
        flight.choice = choice
        flight.worker = self.workers[choice.worker]
        flight.worker.requests[flight.number] = NOT_STARTED  # also while another computes its prompt
        first = flight.worker if choice.prefill_worker is None else self.workers[choice.prefill_worker]
        self._give(flight, first, hashes)

    def _give(self, flight: Flight, worker: VirtualWorker, hashes: tuple[int, ...]) -> None:
        arrival, choice = flight.arrival, flight.choice
        local = worker.engine.config.role is Role.DECODE and choice is not None and choice.prefill_worker is None
        request = EngineRequest(flight.number, arrival.input_tokens, arrival.output_tokens, hashes, local)
        try:
            worker.timeline.add(self.now, request)
        except NeverFits:
            self._lose(flight, Ending.FAILED)
            return
        worker.requests[flight.number] = NOT_STARTED
        self._touched.append(worker)

    def _hold(self, flight: Flight) -> None:
        if len(self.held) >= self._max_held:
            self._lose(flight, Ending.REJECTED)
            return
        flight.worker = flight.choice = None
        self.held.append(flight)
        self.at(max(self.now, flight.at + self._hold_for), self._turn_away)

    def _turn_away(self) -> None:
        """Those who were held for too long leave. The oldest are first."""
        while self.held and self.held[0].at + self._hold_for <= self.now:
            self._lose(self.held.popleft(), Ending.REJECTED)

    def _happened(self, worker: VirtualWorker, moment: Moment) -> None:
        """Pass on what came of some steps."""
        progress = moment.progress
        router, flights = self.router, self.flights
        now_s = moment.at / TICKS_PER_S
        worker.count(moment)
        if moment.gaps:
            self._records.gaps(moment.gaps)
        for event in progress.cache:
            if isinstance(event, PagesStored):
                router.stored(worker.id, event.hashes, event.parent)
            else:
                router.removed(worker.id, event.hashes)
        if progress.first_tokens and worker.engine.config.role is not Role.PREFILL:
            for number, cached in zip(progress.first_tokens, progress.cached_tokens, strict=True):
                flight = flights[number]
                flight.first_at = moment.at
                flight.cached = max(flight.cached, cached)
                worker.started(number)
                if worker.ttft is not None:
                    worker.ttft.observe((moment.at - flight.at) / TICKS_PER_S)
                router.first_token(number, now_s)
                self._records.first_token(flight)
        for number in progress.prefilled:
            self._hand_over(flights[number], worker)
        for number in progress.finished:
            if worker.engine.config.role is not Role.PREFILL:
                flight = flights[number]
                gaps, late = worker.ended(number)
                router.finished(number, now_s, flight.arrival.output_tokens)
                del flights[number]
                self._records.completed(flight, moment.at, gaps, late)
        if worker.draining:
            self._end_if_drained(worker)

    def _hand_over(self, flight: Flight, prefill: VirtualWorker) -> None:
        """Its prompt is computed: the KV travels, then the decode worker takes over."""
        decode = flight.worker
        assert decode is not None
        transfer = self.spec.component(decode.component).engine.kv_transfer
        took_s = transfer.latency_s + flight.arrival.input_tokens / transfer.tokens_per_second

        def arrived() -> None:
            prefill.timeline.release(self.now, flight.number)
            prefill.requests.pop(flight.number, None)
            self._touched.append(prefill)
            if prefill.draining:
                self._end_if_drained(prefill)
            self._give(flight, decode, _full_blocks(flight.arrival))

        self.at(self.now + math.ceil(took_s * TICKS_PER_S), arrived)

    def _lose(self, flight: Flight, ending: Ending) -> None:
        del self.flights[flight.number]
        if flight.worker is not None:
            flight.worker.requests.pop(flight.number, None)
        self.router.finished(flight.number, self.now / TICKS_PER_S, 0)
        self._records.lost(flight, ending, self.now)

    def _end_if_drained(self, worker: VirtualWorker) -> None:
        if worker.draining and worker.id in self.workers and not worker.requests:
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


def _full_blocks(arrival: Arrival) -> tuple[int, ...]:
    """The blocks that the prompt fills: only these are cached."""
    return arrival.prefix_blocks[: arrival.input_tokens // arrival.block_tokens]
