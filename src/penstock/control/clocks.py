"""Real time: seconds since the run began, from the monotonic clock; the wall time of the start is kept once."""

import asyncio
import time


class MonotonicClock:
    """The clock of the live worlds. Setting the machine's clock does not move it."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.began_unix_s = time.time()  # for display only

    def now_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    async def sleep_until(self, at_s: float) -> None:
        """Return once `now_s() >= at_s`."""
        while (left_s := at_s - self.now_s()) > 0:  # noqa: ASYNC110 - a timer may fire a little early
            await asyncio.sleep(left_s)
