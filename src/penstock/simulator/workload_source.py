"""Which stretch of which trace: enough to open the same workload again, in another process too."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from penstock.autoscale.long_history import NOTHING_BEFORE, LongHistory, minutes_of
from penstock.errors import InputError
from penstock.workload.arrival import Arrival
from penstock.workload.bad_rows import SkippedRows
from penstock.workload.detect import open_trace
from penstock.workload.same_blocks import same_blocks
from penstock.workload.span import span_s
from penstock.workload.window import window


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSource:
    """A stretch of a trace; times as in `workload.window`.

    Args:
        before: demand before it, which planners learn from (`following`).
        skip_bad: pass over bad rows; `skipped` counts those of the last reading.
    """

    trace: str
    start_s: float = 0.0
    duration_s: float | None = None
    speed: float = 1.0
    seed: int = 0
    skip_bad: bool = False
    before: LongHistory = NOTHING_BEFORE
    skipped: SkippedRows = field(default_factory=SkippedRows, compare=False)

    def arrivals(self) -> Iterator[Arrival]:
        """Yield its requests. Raises: InputError, at once if there is none, else at the first bad line."""
        opened = open_trace(self.trace, skipped=self.skipped if self.skip_bad else None)
        self.skipped.clear()
        found = window(
            opened.arrivals(seed=self.seed), start_s=self.start_s, duration_s=self.duration_s, speed=self.speed
        )
        alike = same_blocks(found, name=self.trace)
        first = next(alike, None)
        if first is None:
            raise InputError(self.trace, *self._why_none())
        return chain((first,), alike)

    def length_s(self) -> float | None:
        """How long it takes in the run's seconds, found without reading it; None, if that cannot be told."""
        whole_s = span_s(open_trace(self.trace))
        if whole_s is None:
            return None
        left_s = whole_s - self.start_s
        return max(0.0, left_s if self.duration_s is None else min(left_s, self.duration_s)) / self.speed

    def following(self, trace: str) -> "WorkloadSource":
        """With the demand of another trace before it, whose end is the start of this.

        Raises: InputError, as reading it does.
        """
        skipped = SkippedRows() if self.skip_bad else None
        opened = open_trace(trace, skipped=skipped)
        instants_s = (arrival.arrival_s for arrival in opened.arrivals(seed=self.seed))
        minutes = minutes_of(instants_s, length_s=span_s(opened) or 0.0)
        return replace(self, before=LongHistory.of(minutes))

    def _why_none(self) -> tuple[str, str]:
        if not self.skipped.count:
            return "has no request in that stretch", "change --start-s or --duration-s"
        return f"has no good row ({self.skipped.lines()[0]})", "correct the file"
