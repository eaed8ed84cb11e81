"""An engine on a clock of integer ticks: what a rehearsal and a simulator drive.

Decides when a batch is planned and how many of its steps are taken at once. Does not know other engines, nor who sends
the requests. Its driver calls, in the order of instants: `advance(t)`, then whatever arrives at t (`add`, `cancel`,
`release`), then `next_event()`, which it may only ask once everything that arrives at t is in.

A step may start at an instant only after all that arrives at that instant: "at a boundary, not yet planned" is a state.
So `advance(t)` ends the steps that end by t, and plans those that start before t, but none that starts at t.

A request that arrives inside a burst of equal steps cuts it at the next boundary; if requests queue already, or all
seats are taken, it changes nothing and cuts nothing. Ticks are integers, so the boundary at which it is cut is exactly
the one at which single steps would have let it in (see `hardware.steptime`).
"""

from collections import Counter
from math import isqrt
from typing import NamedTuple

from penstock.engine.batch import Batch, Progress
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest
from penstock.engine.sequence import SequenceState
from penstock.hardware.steptime import StepTime


class Gaps(NamedTuple):
    """Inter-token gaps of a burst: in its step j (from 0) `sequences` gaps of `first + j * growth` ticks."""

    first: int
    growth: int
    steps: int
    sequences: int


class Moment:
    """What came of an engine's steps that ended at an instant.

    Args:
        at: the instant, in ticks.
        progress: the engine's. Its first tokens and last tokens came at `at`.
        gaps: all inter-token gaps of the burst that ended. A resumed request's gap reaches back to its last token
            before it was preempted.
    """

    __slots__ = ("at", "gaps", "progress")

    def __init__(self, at: int, progress: Progress, gaps: tuple[Gaps, ...]) -> None:
        self.at = at
        self.progress = progress
        self.gaps = gaps


class Timeline:
    """One engine on a clock.

    Args:
        engine: owned by the timeline from now on; others may read its counters.
        step_time: prices its batches.
        start: the instant at which it begins, in ticks.
        burst: False takes every step by itself: the same results, slowly; for tests and benchmarks.

    evicts: whether the burst under way evicts pages, which it tells at its end; `catch_up` tells those so far.
    """

    __slots__ = (
        "_batch",
        "_boundary",
        "_burst",
        "_decoding",
        "_end",
        "_first",
        "_growth",
        "_last_token_at",
        "_leaving",
        "_stalled",
        "_step_time",
        "_steps",
        "engine",
        "evicts",
    )

    def __init__(self, engine: Engine, step_time: StepTime, *, start: int = 0, burst: bool = True) -> None:
        self.engine = engine
        self.evicts = False
        self._step_time = step_time
        self._burst = burst
        self._boundary = start  # where the batch began, or the next may begin
        self._batch: Batch | None = None
        # Of the batch: steps to take, how long the first takes, by how much each grows, when the last ends, and how
        # many sequences wait for their next token.
        self._steps = 0
        self._first = 0
        self._growth = 0
        self._end = start
        self._decoding = 0
        self._last_token_at: dict[int, int] = {}  # of preempted requests
        self._leaving: list[int] = []  # given up, but in the step under way
        self._stalled: list[int] = []  # after steps of prompts only: when each decoding sequence had its last token

    def add(self, at: int, request: EngineRequest) -> None:
        """A request arrives. Raises as `Engine.add`; ValueError, if the timeline was not advanced to `at`."""
        self._arrive(at)
        cuts = self.engine.takes_arrivals
        self.engine.add(request)
        if cuts:
            self._cut(at)

    def cancel(self, at: int, request_id: int) -> bool:
        """A request is given up. False, if it is not known."""
        self._arrive(at)
        state = self.engine.state(request_id)
        if state is None or request_id in self._leaving:
            return False
        if self._batch is not None and state in (SequenceState.PREFILL, SequenceState.DECODE):
            self._leaving.append(request_id)
        else:
            self.engine.cancel(request_id)
            self._last_token_at.pop(request_id, None)
        if state is not SequenceState.PINNED:
            self._cut(at)
        return True

    def release(self, at: int, request_id: int) -> bool:
        """A prefilled request's KV was read. False, if it is not pinned."""
        self._arrive(at)
        return self.engine.release(request_id)

    def next_event(self) -> int | None:
        """When the burst under way ends, planning it if need be; None if nothing runs. See the module's order."""
        if self._batch is None and not self._start():
            return None
        return self._end

    def advance(self, to: int) -> list[Moment]:
        """End all steps that end by `to`, and start those that start before it."""
        moments: list[Moment] = []
        while True:
            if self._batch is None and (self._boundary >= to or not self._start()):
                return moments
            if self._end > to:
                return moments
            moments.append(self.finish())

    def catch_up(self, to: int) -> list[Moment]:
        """As `advance`, then also split the burst under way, so that the engine's counters are those of `to`.

        Changes nothing that comes of it, only in how many pieces: for exact scrapes.
        """
        moments = self.advance(to)
        if self._batch is None or self._steps == 1:
            return moments
        done = self._steps_by(to - self._boundary)
        if done:
            rest = self._steps - done
            self._shorten(done)
            leaving, self._leaving = self._leaving, []  # at the end of the burst, as those who arrived join
            moments.append(self.finish())
            self._leaving = leaving
            if self._boundary < to:
                self._start(admit=False)
                self._shorten(rest)
        return moments

    def _arrive(self, at: int) -> None:
        """Check that everything before `at` was handled; an idle engine's next step may start at `at`."""
        if self._batch is not None:
            if self._end < at or at < self._boundary:
                raise ValueError(
                    f"arrival at {at}, while steps run from {self._boundary} to {self._end}: advance first"
                )
        elif at > self._boundary:
            # Work that can start and has not means that `advance(at)` was not called; a blocked prefill engine waits.
            if not self.engine.idle and self._start():
                raise ValueError(f"arrival at {at}, while a step may start at {self._boundary}: advance first")
            self._boundary = at
        elif at < self._boundary:
            raise ValueError(f"arrival at {at}, before {self._boundary}")

    def _start(self, *, admit: bool = True) -> bool:
        """Plan the step that starts at the boundary. False, if nothing can run."""
        batch = self.engine.plan(admit=admit)
        if batch is None:
            return False
        step_time = self._step_time
        self._batch = batch
        sequences = batch.sequences
        self._steps = steps = batch.steps if self._burst else 1
        self._first = first = step_time.first_step(batch)
        self._growth = growth = step_time.context_token * sequences
        if steps == 1:
            self._end = self._boundary + first
            self.evicts = False
        else:
            self._end = self._boundary + steps * first + growth * (steps * (steps - 1) // 2)
            self.evicts = batch.evicts
        self._decoding = decoding = batch.decoding
        if self._stalled or (decoding and not sequences):
            self._note_stall(batch)
        if batch.preempted:
            self._note_preempted(batch.preempted)
        return True

    def _note_preempted(self, preempted: tuple[int, ...]) -> None:
        """Until now they had a token in every step. One preempted before it got any since keeps its instant."""
        for request_id in preempted:
            self._last_token_at.setdefault(request_id, self._stalled.pop() if self._stalled else self._boundary)

    def _note_stall(self, batch: Batch) -> None:
        """Keep who decodes, and when each had its last token, over steps that compute prompts only."""
        stalled = self._stalled
        new = self._decoding + len(batch.preempted) - len(stalled)
        if new > 0:
            stalled.extend([self._boundary] * new)
        else:  # some were given up meanwhile
            del stalled[:-new]
        if not batch.sequences:
            self._decoding = 0

    def _gaps_after_stall(self) -> tuple[Gaps, ...]:
        """Gaps of the burst that ends; the first ones reach back to each sequence's last token before the stall."""
        if not self._decoding:  # it computed prompts only, again
            return ()
        after = self._boundary + self._first
        gaps: list[Gaps] = [Gaps(after - since, 0, 1, count) for since, count in Counter(self._stalled).items()]
        self._stalled.clear()
        if self._steps > 1:
            gaps.append(Gaps(self._first + self._growth, self._growth, self._steps - 1, self._decoding))
        return tuple(gaps)

    def finish(self) -> Moment:
        """End the burst under way, at the instant that `next_event` told: as `advance` to then; none is planned."""
        if self._leaving:
            for request_id in self._leaving:
                self.engine.cancel(request_id)
                self._last_token_at.pop(request_id, None)
            self._leaving.clear()
        progress = self.engine.commit(self._steps)
        gaps: tuple[Gaps, ...] = ()
        if self._stalled:
            gaps = self._gaps_after_stall()
        elif self._decoding:
            gaps = (Gaps(self._first, self._growth, self._steps, self._decoding),)
        self._batch = None
        self.evicts = False
        self._boundary = at = self._end
        if self._last_token_at:
            for started in progress.first_tokens:  # it had no token yet when it was preempted
                self._last_token_at.pop(started, None)
        if progress.resumed:
            gaps += tuple(Gaps(at - self._last_token_at.pop(resumed), 0, 1, 1) for resumed in progress.resumed)
        return Moment(at, progress, gaps)

    def _cut(self, at: int) -> None:
        """End the burst under way with the step that runs at `at`, or that ends then."""
        if self._batch is None or self._steps == 1:
            return
        after = at - self._boundary
        steps = 1 if after <= self._first else self._steps_by(after - 1) + 1
        if steps < self._steps:
            self._shorten(steps)

    def _shorten(self, steps: int) -> None:
        self._steps = steps
        self._end = self._boundary + steps * self._first + self._growth * (steps * (steps - 1) // 2)

    def _steps_by(self, ticks: int) -> int:
        """How many steps of the burst end within `ticks` of its begin."""
        first, growth = self._first, self._growth
        if ticks < first:
            return 0
        if not growth:
            return min(ticks // first, self._steps)
        # steps * first + growth * steps * (steps - 1) / 2 <= ticks, solved for steps. Exact: all else being integers,
        # rounding the root down first does not change the quotient rounded down.
        linear = 2 * first - growth
        steps = (isqrt(linear * linear + 8 * growth * ticks) - linear) // (2 * growth)
        return min(steps, self._steps)
