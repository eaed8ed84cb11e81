"""How far predictions are off on one worker: a bounded factor, learned from predicted against observed times.

The step-time model may be wrong by a factor (another GPU, a noisy neighbour, an engine that nobody described). Each
observation gives a ratio; its logarithm goes into an exponential mean. Three guards: a few tens of milliseconds of
network count for nothing (both sides get `NOISE_S`), the factor stays within bounds, and it moves in steps of a
quarter of an octave, so that workers that differ by noise only stay equal. Without news it returns to 1: a worker
that once looked slow must get another chance.
"""

from math import exp2, log2
from typing import Final

NOISE_S: Final = 0.02  # two hops of network and a scheduler's slice; ratios of times far below it say nothing
GAIN: Final = 0.1  # a factor is learned in some ten requests
_SETTLED: Final = 1 / GAIN  # samples, from which on each counts the same
STEPS_PER_OCTAVE: Final = 4  # steps of 19 %
KNOWN_OCTAVES: Final = 2.0  # a described engine may be off by 4 times
UNKNOWN_OCTAVES: Final = 5.0  # the default step time stands for any engine: 32 times


class Correction:
    """A factor on predicted times. Changed by `observe` and `relax` only."""

    __slots__ = ("_bound", "_log2", "_samples", "_steps", "factor", "observed_at_s")

    def __init__(self, *, known: bool) -> None:
        self._bound = KNOWN_OCTAVES if known else UNKNOWN_OCTAVES
        self._log2 = 0.0
        self._samples = 0
        self._steps = 0
        self.factor = 1.0
        self.observed_at_s = 0.0

    def observe(
        self, predicted_s: float, observed_s: float, *, factor: float, now_s: float, noise_s: float = NOISE_S
    ) -> None:
        """Learn from one time.

        Args:
            predicted_s: as it was predicted, with the `factor` that was in force then.
        """
        if predicted_s < 0 or observed_s < 0:
            return
        sample = log2((observed_s + noise_s) / (predicted_s / factor + noise_s))
        bound = self._bound
        if not -bound <= sample <= bound:
            sample = bound if sample > bound else -bound
        self._samples = samples = self._samples + 1
        gain = GAIN if samples >= _SETTLED else max(GAIN, 1 / (samples + 1))  # the first count more, yet not alone
        self._set(self._log2 + gain * (sample - self._log2))
        self.observed_at_s = now_s

    def relax(self, keep: float) -> None:
        """Go towards 1: keep this share of what was learned."""
        self._set(self._log2 * keep)

    def _set(self, value: float) -> None:
        self._log2 = value
        steps = round(value * STEPS_PER_OCTAVE)
        if steps != self._steps:
            self._steps = steps
            self.factor = exp2(steps / STEPS_PER_OCTAVE)
