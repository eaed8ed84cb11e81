"""Durations drawn from a stated distribution, the same for the same seed."""

import math
import random

from penstock.simulator.world_spec import DelaySpec


class Delays:
    """Draws durations. Owned by one run."""

    def __init__(self, randomness: random.Random) -> None:
        self._random = randomness

    def draw(self, delay: DelaySpec) -> float:
        """One duration in seconds, with the stated mean and coefficient of variation."""
        if not delay.cv or not delay.mean_s:
            return delay.mean_s
        if delay.distribution == "normal":
            return max(0.0, self._random.gauss(delay.mean_s, delay.cv * delay.mean_s))
        variance = math.log1p(delay.cv * delay.cv)
        return self._random.lognormvariate(math.log(delay.mean_s) - variance / 2, math.sqrt(variance))
