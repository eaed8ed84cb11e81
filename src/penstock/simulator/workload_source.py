"""Which stretch of which trace: enough to open the same workload again, in another process too."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from penstock.errors import InputError
from penstock.workload.arrival import Arrival
from penstock.workload.detect import open_trace
from penstock.workload.window import window


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSource:
    """A stretch of a trace; times as in `workload.window`."""

    trace: str
    start_s: float = 0.0
    duration_s: float | None = None
    speed: float = 1.0
    seed: int = 0

    def arrivals(self) -> Iterator[Arrival]:
        """Yield its requests. Raises: InputError, at once if there is none, else at the first bad line."""
        opened = open_trace(self.trace).arrivals(seed=self.seed)
        found = window(opened, start_s=self.start_s, duration_s=self.duration_s, speed=self.speed)
        first = next(found, None)
        if first is None:
            raise InputError(self.trace, "has no request in that stretch", "change --start-s or --duration-s")
        return chain((first,), found)
