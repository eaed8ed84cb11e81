"""The one way to know and to wait for a time: real, virtual, or stepped by a test.

Seconds count from the start of a run, so that the same run in virtual time gives the same instants. Decision code
never sees a clock: it is handed `now_s`, read once per decision.
"""

from typing import Protocol


class Clock(Protocol):
    """Tells and waits for instants, in seconds since the run began."""

    def now_s(self) -> float:
        """Seconds since the run began; never goes back."""

    async def sleep_until(self, at_s: float) -> None:
        """Return once `now_s() >= at_s`; at once, if that is past."""
