"""The open loop: each request goes out at its instant, whatever became of those before.

A closed loop (n users, each waiting for its answer) asks less just when the server is slow, and so hides what users
would have seen (coordinated omission). Here nothing waits for an answer: a stalled server gets the next request on
time, and its latency counts from the instant at which it was due, even if we were late ourselves (see `lateness`).

The body is made before the instant, not at it. Past `max_in_flight` a request is not sent, and counts as failed: what
is bounded must show. Timers of the event loop tick in milliseconds, so the last one is waited out in short steps.
"""

import asyncio
from collections.abc import Callable, Iterable

from penstock.load.exchange import Ask, Exchange
from penstock.load.lateness import Lateness
from penstock.load.progress import Progress
from penstock.messages.outcome import Ending, RequestOutcome
from penstock.workload.arrival import Arrival
from penstock.workload.prompts import Prompts

_YIELD_EVERY = 16  # sends without a wait, when behind, until answers are read again


class OpenLoop:
    """One run. `run` sends and waits for the tail; `stop` ends it early.

    Args:
        on_outcome: called as each request ends.
        max_in_flight: most requests unanswered at a time.
    """

    def __init__(
        self,
        exchange: Exchange,
        prompts: Prompts,
        now_s: Callable[[], float],
        on_outcome: Callable[[RequestOutcome], None],
        *,
        run_id: str,
        max_in_flight: int,
    ) -> None:
        self._exchange = exchange
        self._prompts = prompts
        self._now_s = now_s
        self._on_outcome = on_outcome
        self._run_id = run_id
        self._max_in_flight = max_in_flight
        self._tasks: set[asyncio.Task[None]] = set()
        self._pacing: asyncio.Task[None] | None = None
        self._fault: BaseException | None = None
        self.progress = Progress()
        self.lateness = Lateness()
        self.abandoned = 0  # in flight when stopped: neither good nor bad, so not counted as offered

    async def run(self, arrivals: Iterable[Arrival]) -> None:
        """Send all at their times, then wait for the answers. Raises: what reading the arrivals raised, then."""
        self._pacing = asyncio.create_task(self._pace(arrivals))
        await asyncio.wait([self._pacing])
        if self._tasks:
            await asyncio.wait(self._tasks)  # each is bounded by its own timeout
        if self._fault is not None:
            raise self._fault
        if not self._pacing.cancelled():
            self._pacing.result()

    def stop(self) -> None:
        """Send no more, and leave what is in flight. `run` then returns soon."""
        if self._pacing is not None:
            self._pacing.cancel()
        for task in self._tasks:
            task.cancel()

    async def _pace(self, arrivals: Iterable[Arrival]) -> None:
        sent_in_a_row = 0
        for index, arrival in enumerate(arrivals):
            ask = Ask(
                id=f"{self._run_id}-{index}",
                intended_s=arrival.arrival_s,
                prompt=self._prompts.text(arrival, index),
                input_tokens=arrival.input_tokens,
                output_tokens=arrival.output_tokens,
            )
            sent_in_a_row += 1
            while (wait_s := ask.intended_s - self._now_s()) > 0:
                sent_in_a_row = 0
                await asyncio.sleep(wait_s if wait_s > 0.002 else 0.0005)
            if sent_in_a_row >= _YIELD_EVERY:
                sent_in_a_row = 0
                await asyncio.sleep(0)
            self._send(ask)

    def _send(self, ask: Ask) -> None:
        progress = self.progress
        progress.offered += 1
        if len(self._tasks) >= self._max_in_flight:
            now_s = self._now_s()
            self._ended(
                RequestOutcome(
                    id=ask.id,
                    intended_s=ask.intended_s,
                    sent_s=now_s,
                    ending=Ending.FAILED,
                    status=0,
                    e2e_s=now_s - ask.intended_s,
                    prompt_tokens=ask.input_tokens,
                    error=f"not sent: {self._max_in_flight} in flight (--max-in-flight)",
                )
            )
            return
        task = asyncio.create_task(self._perform(ask))
        self._tasks.add(task)
        progress.in_flight = len(self._tasks)
        task.add_done_callback(self._gone)

    async def _perform(self, ask: Ask) -> None:
        sent_s = self._now_s()
        self.lateness.add(sent_s - ask.intended_s)
        self._ended(await self._exchange.perform(ask, sent_s))

    def _ended(self, outcome: RequestOutcome) -> None:
        self.progress.add(outcome)
        self._on_outcome(outcome)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.progress.in_flight = len(self._tasks)
        if task.cancelled():
            self.abandoned += 1
        elif (error := task.exception()) is not None:
            self._fault = self._fault or error  # ours, as a full disk, not the server's: do not go on
            self.stop()
