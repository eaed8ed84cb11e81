"""When each pool is decided: at its policy's interval, on a grid from the start of the run.

Instants are computed as a multiple of the interval, never summed up, so that no rounding creeps in and a run that was
late for one turn keeps to the grid. A missed turn is not made up for: the next decision sees everything anyway.
"""

import math
from collections.abc import Mapping


class Turns:
    """Keeps the next due instant of each pool."""

    def __init__(self, interval_s: Mapping[str, float]) -> None:
        self._interval_s = dict(interval_s)
        self._due_s = dict.fromkeys(interval_s, 0.0)

    def take(self, now_s: float) -> tuple[str, ...]:
        """The pools due by now, in the order of the file; their next turn is set."""
        due = tuple(name for name, at_s in self._due_s.items() if at_s <= now_s)
        for name in due:
            interval_s = self._interval_s[name]
            turn = math.floor(now_s / interval_s) + 1
            if turn * interval_s <= now_s:  # the quotient was rounded down
                turn += 1
            self._due_s[name] = turn * interval_s
        return due
