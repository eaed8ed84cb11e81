"""A request's way between workers: sent where the router says, held while there is none, handed from prefill to decode.

What the gateway does around its router, for `serving`, which says what time it is and tells what comes of the engines'
steps. A worker that is gone shows when a request is to be given to it; what its loss means at once to those that it had
is for `losses` to say.
"""

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from penstock.engine.request import EngineRequest, NeverFits
from penstock.gateway.settings import UpstreamLimits
from penstock.gateway.tries import Tries
from penstock.hardware.steptime import TICKS_PER_S
from penstock.messages.outcome import Ending
from penstock.messages.spec import DeploymentBody
from penstock.messages.worker import Role
from penstock.router.route_request import RouteRequest
from penstock.router.router import Router
from penstock.simulator.flight import Flight
from penstock.simulator.records import Records
from penstock.simulator.virtual_worker import VirtualWorker
from penstock.workload.arrival import Arrival

_LIMITS = UpstreamLimits()
_NOBODY: Final[frozenset[str]] = frozenset()


class Dispatch:
    """All requests under way. `now` is the tick at which something is done.

    Args:
        workers: all that are there, those that drain too; kept by `serving`.
        touched: is given each worker that may have a step to plan.
        at: has something called at an instant.
        left: told of a draining worker that a request has left.
    """

    def __init__(
        self,
        spec: DeploymentBody,
        router: Router,
        records: Records,
        *,
        workers: dict[str, VirtualWorker],
        touched: list[VirtualWorker],
        at: Callable[[int, Callable[[], None]], None],
        left: Callable[[VirtualWorker], None],
    ) -> None:
        self.flights: dict[int, Flight] = {}
        self.held: deque[Flight] = deque()
        self.router = router
        self._transfers = {component.name: component.engine.kv_transfer for component in spec.components}
        self._records = records
        self._workers = workers
        self._touched = touched
        self._at = at
        self._left = left
        self._hold_for = int(spec.routing.hold_timeout_s * TICKS_PER_S)
        self._max_held = spec.routing.max_held_requests

    def route(self, flight: Flight, now: int) -> None:
        """Send a request where the router says, or hold it."""
        now_s = now / TICKS_PER_S
        exclude = _NOBODY if flight.tries is None else flight.tries.excluded
        hashes = full_blocks(flight.arrival)
        request = RouteRequest(
            id=flight.number, prompt_tokens=flight.arrival.input_tokens, block_hashes=hashes, exclude=exclude
        )
        choice = self.router.choose(request, now_s=now_s)
        if choice is None:
            if flight.tries is not None and exclude:
                flight.tries.start_over()
                self.route(flight, now)
            else:
                self._hold(flight, now)
            return
        self.router.sent(request, choice, now_s)
        flight.choice = choice
        flight.worker = first = self._workers[choice.worker]
        first.requests[flight.number] = flight  # also while another computes its prompt
        if choice.prefill_worker is not None:
            flight.prefill = first = self._workers[choice.prefill_worker]
        self.give(flight, first, hashes, now)

    def give(self, flight: Flight, worker: VirtualWorker, hashes: tuple[int, ...], now: int) -> None:
        """Put it into a worker's queue."""
        arrival, choice = flight.arrival, flight.choice
        local = worker.engine.config.role is Role.DECODE and choice is not None and choice.prefill_worker is None
        request = EngineRequest(flight.number, arrival.input_tokens, arrival.output_tokens, hashes, local)
        try:
            worker.timeline.add(now, request)
        except NeverFits:
            self.lose(flight, Ending.FAILED, now)
            return
        worker.requests[flight.number] = flight
        self._touched.append(worker)

    def hand_over(self, flight: Flight, now: int) -> None:
        """Its prompt is computed: the KV travels, then the decode worker takes over."""
        decode = flight.worker
        assert decode is not None
        took_s = 0.0  # if it was lost meanwhile: it takes no request
        if self.has(decode):
            transfer = self._transfers[decode.component]
            took_s = transfer.latency_s + flight.arrival.input_tokens / transfer.tokens_per_second
        due = now + math.ceil(took_s * TICKS_PER_S)
        flight.transfer = way = object()

        def arrived() -> None:
            if flight.transfer is not way:
                return  # a worker was lost meanwhile
            self._leave_prefill(flight, due)
            if self.has(decode):
                self.give(flight, decode, full_blocks(flight.arrival), due)
            else:
                self.try_another(flight, decode, due, delivered=False)

        self._at(due, arrived)

    def try_another(self, flight: Flight, lost: VirtualWorker, now: int, *, delivered: bool | None) -> None:
        """Choose again, if it may be tried again.

        Args:
            delivered: whether the lost worker had the request; None, if it only was to compute the prompt.
        """
        tries = flight.tries = flight.tries or Tries(_LIMITS)
        self._leave_prefill(flight, now)
        decode = flight.worker
        if decode is not None:
            decode.requests.pop(flight.number, None)
            if decode.draining:
                self._left(decode)
        self.router.finished(flight.number, now / TICKS_PER_S, 0)
        self._records.retried()
        if delivered is None:
            tries.pass_over(lost.id)
        elif not tries.failed(lost.id, delivered=delivered):
            self.lose(flight, Ending.FAILED, now)
            return
        flight.cached = 0
        self.route(flight, now)

    def lose(self, flight: Flight, ending: Ending, now: int) -> None:
        """It ends without an answer, or without all of it."""
        del self.flights[flight.number]
        if flight.worker is not None:
            flight.worker.requests.pop(flight.number, None)
        self.router.finished(flight.number, now / TICKS_PER_S, 0)
        self._records.lost(flight, ending, now)

    def try_held(self, now: int) -> None:
        """There is a worker more: those who are held try again."""
        held = tuple(self.held)
        self.held.clear()
        for flight in held:
            self.route(flight, now)

    def has(self, worker: VirtualWorker) -> bool:
        """Whether it is there still, not gone, nor replaced by another of its name."""
        return self._workers.get(worker.id) is worker

    def _hold(self, flight: Flight, now: int) -> None:
        if len(self.held) >= self._max_held:
            self.lose(flight, Ending.REJECTED, now)
            return
        flight.worker = flight.choice = None
        self.held.append(flight)
        due = max(now, flight.at + self._hold_for)
        self._at(due, partial(self._turn_away, due))

    def _turn_away(self, now: int) -> None:
        """Those who were held for too long leave. The oldest are first."""
        while self.held and self.held[0].at + self._hold_for <= now:
            self.lose(self.held.popleft(), Ending.REJECTED, now)

    def _leave_prefill(self, flight: Flight, now: int) -> None:
        """Its prefill worker need not keep its KV any more."""
        prefill, flight.prefill, flight.transfer = flight.prefill, None, None
        if prefill is not None and self.has(prefill):
            prefill.timeline.release(now, flight.number)
            prefill.requests.pop(flight.number, None)
            self._touched.append(prefill)
            if prefill.draining:
                self._left(prefill)


def full_blocks(arrival: Arrival) -> tuple[int, ...]:
    """The blocks that the prompt fills: only these are cached."""
    blocks = arrival.prefix_blocks
    return blocks[: arrival.input_tokens // arrival.block_tokens] if blocks else blocks
