"""Inter-token gaps of a burst into a histogram, in seconds, without walking its steps."""

from collections.abc import Iterable

from penstock.engine.timeline import Gaps
from penstock.hardware.steptime import TICKS_PER_S
from penstock.telemetry.histogram import Histogram


def observe_gaps(histogram: Histogram, gaps: Iterable[Gaps]) -> None:
    """Count every gap of some bursts."""
    for first, growth, steps, sequences in gaps:
        if steps == 1 or not growth:
            histogram.observe(first / TICKS_PER_S, steps * sequences)
        else:
            histogram.observe_growing(first / TICKS_PER_S, growth / TICKS_PER_S, steps, sequences)
