"""What is due when, in seconds: a thin layer over the hot loop's timers, which count ticks."""

import math
from collections.abc import Callable
from functools import partial

from penstock.hardware.steptime import TICKS_PER_S
from penstock.simulator.serving import Serving


class Calendar:
    """The calendar of one virtual cluster."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    @property
    def now_s(self) -> float:
        """Seconds since the run began."""
        return self._serving.now / TICKS_PER_S

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Have something called after a while."""
        self._serving.at(self._serving.now + math.ceil(seconds * TICKS_PER_S), call)

    def at(self, at_s: float, call: Callable[[], None]) -> None:
        """Have something called at an instant, or now if that is past."""
        self._serving.at(max(self._serving.now, round(at_s * TICKS_PER_S)), call)

    def every(self, seconds: float, call: Callable[[], None]) -> None:
        """Have something called again and again, at whole multiples of these seconds."""

        def again(turn: int) -> None:
            call()
            self.at((turn + 1) * seconds, partial(again, turn + 1))

        self.at(seconds, partial(again, 1))
