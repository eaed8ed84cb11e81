"""A listener that says how far a run is, a few times a second of real time."""

import time
from collections.abc import Callable

from penstock.messages.observation import Observation

TELL_EVERY_S = 0.2


class RunWatch:
    """Calls `tell` with the run's own time and the requests that have arrived."""

    def __init__(
        self, tell: Callable[[float, int], None], *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._monotonic_s = monotonic_s
        self._next_s = monotonic_s() + TELL_EVERY_S
        self._latest: Observation | None = None

    def observed(self, observation: Observation) -> None:
        """Tell, unless it was told a moment ago."""
        self._latest = observation
        now_s = self._monotonic_s()
        if now_s >= self._next_s:
            self._next_s = now_s + TELL_EVERY_S
            self.say()

    def say(self) -> None:
        """Tell what was seen last, now."""
        if self._latest is not None:
            self._tell(self._latest.time_s, int(self._latest.totals.get("requests_received", 0.0)))

    def decided(self, decision: object) -> None:
        """Shown by others."""
