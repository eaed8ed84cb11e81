"""Runs the engine core on the wall clock: plan a step, wait until it would be over, commit it, pass the tokens on.

Steps follow an absolute schedule: each ends its step time after the one before, so that waking a little late (timers
have milliseconds) does not add up. What is overdue is committed step by step and passed on together. But a process
that was held up for long does not pour out the missed tokens: beyond `MAX_LAG_S` the schedule is moved, and the
engine was just slow for a while, as a real one would have been.

An idle engine sets no timer. Arrivals of one turn of the event loop are planned together.

Knows neither HTTP nor tokens' texts.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from penstock.engine.batch import Batch, Progress
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest
from penstock.engine.sequence import SequenceState
from penstock.hardware.steptime import TICKS_PER_S, StepTime
from penstock.kvcache.hashing import block_hashes
from penstock.kvcache.pool import CacheEvent
from penstock.telemetry.vllm_metrics import EngineGauges, VllmMetrics
from penstock.worker.asked import Asked
from penstock.worker.ticket import Ticket

MAX_LAG_S = 0.25  # several steps; more than the scheduling noise of a busy machine
_TICKS_PER_NS = TICKS_PER_S // 10**9


class CacheListener(Protocol):
    """Hears what a step did to the KV cache."""

    def __call__(self, events: tuple[CacheEvent, ...], tickets: dict[int, Ticket]) -> None: ...


class EngineDriver:
    """One engine in real time. Belongs to one event loop.

    Args:
        on_cache: told of cached and evicted blocks; the tickets are those whose blocks may be among them.
        on_prefilled: told of requests whose KV is now pinned (prefill role).
    """

    def __init__(
        self,
        engine: Engine,
        step_time: StepTime,
        *,
        model_name: str,
        max_model_len: int,
        on_cache: CacheListener | None = None,
        on_prefilled: Callable[[Ticket], None] | None = None,
    ) -> None:
        self.engine = engine
        self._step_time = step_time
        self._on_cache = on_cache
        self._on_prefilled = on_prefilled
        self._tickets: dict[int, Ticket] = {}
        self._decoding: dict[int, Ticket] = {}  # gets a token in each step
        self._unscheduled: deque[Ticket] = deque()  # never admitted yet; the queue is first come, first served
        self._leaving: list[Ticket] = []  # cancelled; their blocks may be in the next step's events
        self._batch: Batch | None = None
        self._due = 0  # ticks of the monotonic clock at which the batch is done
        self._last_commit_s = 0.0
        self._timer: asyncio.Handle | None = None
        self._next_id = 0
        self.deferred = 0  # requests that wait for KV from elsewhere, not yet in the engine
        config = engine.config
        self.metrics = VllmMetrics(
            model_name=model_name,
            num_gpu_blocks=config.kv_blocks,
            block_size=config.block_tokens,
            max_model_len=max_model_len,
            gauges=self._gauges,
        )

    @property
    def in_flight(self) -> int:
        """Requests that are being served, those that wait for their KV included."""
        return self.engine.running + self.engine.waiting + self.deferred

    def submit(self, asked: Asked, *, arrived_s: float, remote: bool = False) -> Ticket:
        """Give the engine a request. Raises: NeverFits.

        Args:
            arrived_s: when it came, by `time.monotonic()`.
            remote: its prompt's KV has been read from a prefill worker.
        """
        self._next_id += 1
        ticket = Ticket(self._next_id, asked, arrived_s=arrived_s, remote=remote)
        self.engine.add(
            EngineRequest(
                ticket.id,
                asked.prompt_tokens,
                len(asked.answer.ids),
                block_hashes(asked.tokens, self.engine.config.block_tokens),
                local_prefill=not remote,
            )
        )
        self._tickets[ticket.id] = ticket
        self._unscheduled.append(ticket)
        self._nudge()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Give a request up at once; nothing happens, if it is over."""
        if ticket.finish_reason is not None:
            return
        self.engine.cancel(ticket.id)
        ticket.finish_reason = "abort"
        self._decoding.pop(ticket.id, None)
        self._leaving.append(ticket)
        if self._batch is None:
            self._forget_leaving()
        self._count_end(ticket, time.monotonic())
        ticket.wake()
        self._nudge()

    def cancel_all(self) -> None:
        """Give up everything."""
        for ticket in list(self._tickets.values()):
            self.cancel(ticket)

    def release(self, ticket_id: int) -> None:
        """Let go of a prefilled request's KV."""
        self.engine.release(ticket_id)
        self._nudge()

    def _nudge(self) -> None:
        """Something changed: if the engine stood still, see whether it can run now."""
        if self._batch is None and self._timer is None and self.engine.waiting:
            self._timer = asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._due = time.monotonic_ns() * _TICKS_PER_NS
        self._plan(self._due)
        self._arm()

    def _step(self) -> None:
        """The timer fired: commit what is due, plan on."""
        self._timer = None
        now_ns = time.monotonic_ns()
        now, now_s = now_ns * _TICKS_PER_NS, now_ns / 1e9
        committed = False
        while self._batch is not None and self._due <= now:
            self._commit(now_s)
            committed = True
            if now - self._due > MAX_LAG_S * TICKS_PER_S:
                self.metrics.lag_s += (now - self._due) / TICKS_PER_S
                self._due = now
            self._plan(self._due)
        if committed:
            for ticket in self._decoding.values():
                ticket.wake()
        self._arm()

    def _arm(self) -> None:
        """Wake up when the batch is done."""
        if self._batch is None or self._timer is not None:
            return
        left_s = (self._due - time.monotonic_ns() * _TICKS_PER_NS) / TICKS_PER_S
        self._timer = asyncio.get_running_loop().call_later(max(0.0, left_s + 0.0005), self._step)

    def _plan(self, start: int) -> None:
        """Plan the step that begins at `start`."""
        self._batch = batch = self.engine.plan()
        if batch is None:
            self._forget_leaving()
            return
        self._due = start + self._step_time.first_step(batch)
        start_s = start / TICKS_PER_S
        for ticket_id in batch.preempted:
            self.metrics.preemptions += 1
            ticket = self._decoding.pop(ticket_id, None)
            if ticket is not None:
                ticket.last_token_s = self._last_commit_s
        unscheduled, state = self._unscheduled, self.engine.state
        while unscheduled and state(unscheduled[0].id) is not SequenceState.WAITING:
            ticket = unscheduled.popleft()
            ticket.scheduled_s = max(start_s, ticket.arrived_s)

    def _commit(self, now_s: float) -> None:
        progress = self.engine.commit(1)
        metrics, decoding = self.metrics, self._decoding
        if decoding:
            metrics.itl.observe(now_s - self._last_commit_s, len(decoding))
            metrics.generation_tokens += len(decoding)
            for ticket in decoding.values():
                ticket.produced += 1
        self._last_commit_s = now_s
        for ticket_id, cached in zip(progress.first_tokens, progress.cached_tokens, strict=True):
            self._first_token(self._tickets[ticket_id], cached, now_s)
        for ticket_id in progress.resumed:
            ticket = self._tickets[ticket_id]
            ticket.produced += 1
            metrics.generation_tokens += 1
            metrics.itl.observe(now_s - ticket.last_token_s)
            decoding[ticket_id] = ticket
        if progress.cache and self._on_cache is not None:
            self._on_cache(progress.cache, self._tickets)
        self._finish(progress, now_s)
        self._forget_leaving()

    def _first_token(self, ticket: Ticket, cached: int, now_s: float) -> None:
        ticket.first_token_s = now_s
        ticket.produced = 1
        self._decoding[ticket.id] = ticket
        metrics = self.metrics
        metrics.generation_tokens += 1
        metrics.ttft.observe(now_s - ticket.arrived_s)
        prompt = ticket.asked.prompt_tokens
        metrics.prefix_queries += prompt
        metrics.prefix_hits += cached
        metrics.prompt_cached += cached
        if ticket.remote:
            metrics.prompt_transferred += prompt - cached
            metrics.external_queries += prompt - cached
            metrics.external_hits += prompt - cached
        else:
            ticket.cached_tokens = cached
            metrics.prompt_computed += prompt - cached

    def _finish(self, progress: Progress, now_s: float) -> None:
        for ticket_id in progress.finished:
            ticket = self._tickets[ticket_id]
            self._decoding.pop(ticket_id, None)
            ticket.finish_reason = ticket.asked.answer.finish_reason
            self._count_end(ticket, now_s)
            if ticket_id in progress.prefilled and self._on_prefilled is not None:
                self._on_prefilled(ticket)
            del self._tickets[ticket_id]
            ticket.wake()

    def _count_end(self, ticket: Ticket, now_s: float) -> None:
        metrics = self.metrics
        metrics.finished[ticket.finish_reason or "error"] += 1
        if ticket.finish_reason == "abort":
            return
        metrics.e2e.observe(now_s - ticket.arrived_s)
        metrics.request_prompt.observe(ticket.asked.prompt_tokens)
        metrics.request_generation.observe(ticket.produced)
        if ticket.scheduled_s is not None and ticket.first_token_s is not None:
            metrics.queue.observe(ticket.scheduled_s - ticket.arrived_s)
            metrics.prefill.observe(ticket.first_token_s - ticket.scheduled_s)
            metrics.decode.observe(now_s - ticket.first_token_s)
            metrics.inference.observe(now_s - ticket.scheduled_s)

    def _forget_leaving(self) -> None:
        for ticket in self._leaving:
            self._tickets.pop(ticket.id, None)
        self._leaving.clear()

    def _gauges(self) -> EngineGauges:
        engine = self.engine
        return EngineGauges(
            running=engine.running, waiting=engine.waiting, deferred=self.deferred, kv_usage=engine.kv_usage
        )
