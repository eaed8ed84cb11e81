"""When made requests come: a rate over time, and how regular the gaps are.

A renewal process with gaps of mean 1 is drawn in operational time, then laid over real time by the inverse of the
integrated rate. With exponential gaps (cv 1) that is exactly a Poisson process of that rate, whatever its shape;
gamma gaps with cv > 1 make it bursty, with cv < 1 regular. Source: Daley, Vere-Jones, "An Introduction to the Theory
of Point Processes", 7.4 (time change).
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from penstock.errors import InputError

_STEPS = 5000  # of a run's duration, in each of which the rate counts as constant
_LONGEST_STEP_S = 1.0


class Shape(StrEnum):
    """How the rate moves over a run."""

    CONSTANT = "constant"
    DIURNAL = "diurnal"  # from rate up to peak and back, once a period, as a cosine
    RAMP = "ramp"  # from rate to peak, evenly
    SPIKE = "spike"  # rate, but peak for a while


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A rate over time.

    Args:
        rate, peak: requests per second. period_s: of the diurnal shape.
        spike_at_s, spike_for_s: when the spike begins and how long it lasts.
        cv: standard deviation of the gaps over their mean, at constant rate.
    Raises: InputError, if a figure makes no sense.
    """

    duration_s: float
    rate: float
    peak: float = 0.0
    shape: Shape = Shape.CONSTANT
    period_s: float = 86_400.0
    spike_at_s: float = 0.0
    spike_for_s: float = 60.0
    cv: float = 1.0

    def __post_init__(self) -> None:
        for flag, value, least, most in (
            ("--duration-s", self.duration_s, 0.001, 1e8),
            ("--rate", self.rate, 0.0, 1e6),
            ("--peak", self.peak, 0.0, 1e6),
            ("--period-s", self.period_s, 1.0, 1e8),
            ("--spike-at-s", self.spike_at_s, 0.0, 1e8),
            ("--spike-for-s", self.spike_for_s, 0.0, 1e8),
            ("--cv", self.cv, 0.05, 50.0),
        ):
            if not least <= value <= most:
                raise InputError(flag, f"is {value:g}", f"give a number from {least:g} to {most:g}")
        if self.shape is not Shape.CONSTANT and self.peak <= 0:
            raise InputError(
                "--peak", f"is missing for --shape {self.shape}", "give the other rate, in requests a second"
            )
        if not max(self.rate, self.peak if self.shape is not Shape.CONSTANT else 0):
            raise InputError("--rate", "is 0", "give requests a second")

    def rate_at(self, at_s: float) -> float:
        """Requests per second at an instant of the run."""
        if self.shape is Shape.DIURNAL:
            return self.rate + (self.peak - self.rate) * (1 - math.cos(2 * math.pi * at_s / self.period_s)) / 2
        if self.shape is Shape.RAMP:
            return self.rate + (self.peak - self.rate) * at_s / self.duration_s
        if self.shape is Shape.SPIKE and self.spike_at_s <= at_s < self.spike_at_s + self.spike_for_s:
            return self.peak
        return self.rate


def instants(pace: Pace, draw: random.Random) -> Iterator[float]:
    """Yield when requests come, in order, within the duration."""
    shape, scale = 1 / pace.cv**2, pace.cv**2
    step_s = min(_LONGEST_STEP_S, pace.duration_s / _STEPS)
    steps = math.ceil(pace.duration_s / step_s)
    # An equilibrium renewal process would draw the first gap from its residual law; a uniform share of one gap is near.
    due = draw.gammavariate(shape, scale) * draw.random()
    passed = 0.0
    for step in range(steps):
        start_s = step * step_s
        rate = pace.rate_at(start_s + step_s / 2)
        until = passed + rate * step_s
        while due < until:
            at_s = start_s + (due - passed) / rate
            if at_s >= pace.duration_s:
                return
            yield at_s
            due += draw.gammavariate(shape, scale)
        passed = until
