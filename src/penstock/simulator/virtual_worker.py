"""One replica's engine in virtual time, with what is needed to know every request's gaps without walking its steps.

A decoding sequence gets one token in each of its engine's steps. So the worker counts its steps, and how many of them
took longer than the ITL target; a request's gaps, and those of them that were late, are the differences of these two
counters between its first token and its last. A request that was preempted keeps what it had, and the long gap until
it was resumed.
"""

from heapq import heappush

from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.timeline import Gaps, Moment, Timeline
from penstock.hardware.steptime import StepTime
from penstock.messages.worker import Role
from penstock.simulator.flight import Flight
from penstock.simulator.gap_counts import observe_gaps
from penstock.telemetry.histogram import Histogram
from penstock.telemetry.vllm_metrics import ITL_EDGES_S, TTFT_EDGES_S

Heap = list[tuple[int, int, "VirtualWorker"]]


class VirtualWorker:
    """An engine on the virtual cluster's clock.

    Args:
        id: as the router knows it. component: its pool.
        order: unique; decides who is first among workers that are due at one instant.
        late_after: ITL target, in ticks.
        exports: keep vLLM's latency histograms.
    """

    __slots__ = (
        "component",
        "computes_only",
        "draining",
        "due",
        "engine",
        "gaps",
        "id",
        "itl",
        "late_after",
        "late_steps",
        "order",
        "requests",
        "steps",
        "timeline",
        "ttft",
    )

    def __init__(
        self,
        id: str,  # noqa: A002 - the field's name everywhere
        component: str,
        *,
        order: int,
        config: EngineConfig,
        step_time: StepTime,
        start: int,
        late_after: int,
        exports: bool,
    ) -> None:
        self.id = id
        self.component = component
        self.order = order
        self.engine = Engine(config)
        self.computes_only = config.role is Role.PREFILL
        self.timeline = Timeline(self.engine, step_time, start=start)
        self.due: int | None = None  # when its burst ends; None while it has nothing to do
        self.draining = False
        self.late_after = late_after
        self.steps = 0
        self.late_steps = 0
        # What vLLM exports, kept only where somebody scrapes it.
        self.ttft = Histogram(TTFT_EDGES_S) if exports else None
        self.itl = Histogram(ITL_EDGES_S) if exports else None
        self.gaps: list[Gaps] = []  # not yet in `itl`
        self.requests: dict[int, Flight] = {}  # sent to it and not ended

    def schedule(self, heap: Heap) -> None:
        """Put the end of its next burst into the heap, if that has changed. Only once all that arrives now is in."""
        due = self.timeline.next_event()
        if due != self.due:
            self.due = due
            if due is not None:
                heappush(heap, (due, self.order, self))

    def count(self, moment: Moment) -> None:
        """Take in the steps of a moment, before anything is asked about its requests."""
        progress, gaps = moment.progress, moment.gaps
        if progress.preempted:
            self._interrupt(progress.preempted)
        if gaps:
            if self.itl is not None:
                self.gaps += gaps
            if len(gaps) > len(progress.resumed):  # the first is that of all who decode
                first, growth, steps, _ = gaps[0]
                if first + growth * (steps - 1) > self.late_after:
                    self.late_steps += late_steps(gaps[0], self.late_after)
        self.steps += progress.steps
        if progress.resumed:
            self._resume(progress.resumed, gaps[-len(progress.resumed) :])

    def latencies(self) -> tuple[Histogram, Histogram] | None:
        """TTFT and ITL as vLLM would export them; None where nobody reads them."""
        if self.ttft is None or self.itl is None:
            return None
        observe_gaps(self.itl, self.gaps)
        self.gaps.clear()
        return self.ttft, self.itl

    def _interrupt(self, preempted: tuple[int, ...]) -> None:
        """They had a token in every step until now; what they had is kept relative to counters still to come."""
        for request in preempted:
            flight = self.requests[request]
            if flight.first_at >= 0 and not flight.interrupted:  # it may lose its place again before it goes on
                flight.interrupted = True
                flight.steps = self.steps - flight.steps
                flight.late_steps = self.late_steps - flight.late_steps

    def _resume(self, resumed: tuple[int, ...], gaps: tuple[Gaps, ...]) -> None:
        for request, gap in zip(resumed, gaps, strict=True):
            flight = self.requests[request]
            flight.interrupted = False
            flight.steps = self.steps - flight.steps - 1
            flight.late_steps = self.late_steps - flight.late_steps - (gap.first > self.late_after)


def late_steps(burst: Gaps, late_after: int) -> int:
    """How many steps of a burst took more than `late_after` ticks. Steps only grow."""
    if burst.first > late_after:
        return burst.steps
    if not burst.growth:
        return 0
    in_time = (late_after - burst.first) // burst.growth + 1
    return max(0, burst.steps - in_time)
