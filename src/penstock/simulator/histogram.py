"""A histogram of a virtual process: counts by edge, and a burst's worth of values at a time."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from penstock.engine.timeline import Gaps
from penstock.hardware.steptime import TICKS_PER_S


class Histogram:
    """Counts by edge."""

    __slots__ = ("bounds", "counts", "edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = list(edges)
        self.bounds = [*self.edges, float("inf")]
        self.counts = [0] * len(self.bounds)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, as often as `times`."""
        self.counts[bisect_left(self.edges, value)] += times
        self.total += value * times

    def observe_growing(self, first: float, growth: float, steps: int, times: int) -> None:
        """Count `first`, `first + growth`, ... `steps` values, each as often as `times`."""
        edges = self.edges
        last = first + growth * (steps - 1)
        at = bisect_left(edges, first)
        self.total += times * steps * (first + last) / 2
        done = 0
        while at < len(edges) and edges[at] < last:
            below = min(steps, int((edges[at] - first) / growth) + 1)  # values that this edge still holds
            self.counts[at] += (below - done) * times
            done = below
            at += 1
        self.counts[at] += (steps - done) * times

    def cumulative(self) -> dict[float, float]:
        """Counts of values up to each bound."""
        return dict(zip(self.bounds, accumulate(self.counts), strict=True))

    def observe_gaps(self, gaps: tuple[Gaps, ...]) -> None:
        """Count the inter-token gaps of a burst, in seconds."""
        for first, growth, steps, sequences in gaps:
            if steps == 1 or not growth:
                self.observe(first / TICKS_PER_S, steps * sequences)
            else:
                self.observe_growing(first / TICKS_PER_S, growth / TICKS_PER_S, steps, sequences)
