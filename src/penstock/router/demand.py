"""What the requests still to come weigh: how many are delayed by work that is placed now.

Theory: for a first-come queue with arrival rate λ and utilisation ρ, work u that lies before the server costs those
who are still to come v(u) = λ u² / (2 (1 - ρ)) seconds of waiting in all. Adding work S to u therefore costs them v(u
+ S) - v(u), that is congestion x S x (u + S/2) with congestion = λ / (1 - ρ). Choosing by own delay plus this is one
step of policy iteration from random splitting (Krishnan 1990, "Joining the right queue: a state-dependent decision
rule"), and much better than own delay alone: under load it prefers less work in all, thus prefix hits, and short
queues for the long prompts.

It doesn't know which worker: λ and ρ are means over the workers that compute prompts.
"""

from math import exp
from typing import Final

MEMORY_S: Final = 30.0  # requests and work of about this long count: long against one prompt, short against a burst
MAX_RHO: Final = 0.8  # the estimate is noisy, and 1 / (1 - ρ) has a pole


class Demand:
    """Exponential counts of requests and of their prefill seconds, over all workers."""

    __slots__ = ("_at_s", "_requests", "_work_s", "congestion_per_s")

    def __init__(self) -> None:
        self._at_s = 0.0
        self._requests = 0.0
        self._work_s = 0.0
        self.congestion_per_s = 0.0

    def add(self, work_s: float, *, workers: int, now_s: float) -> None:
        """One request was sent, with this much prefill left to compute."""
        past_s = now_s - self._at_s
        if past_s > 0:
            keep = exp(-past_s / MEMORY_S)
            self._requests *= keep
            self._work_s *= keep
            self._at_s = now_s
        self._requests += 1
        self._work_s += work_s
        share = 1 / (MEMORY_S * (workers or 1))
        rho = self._work_s * share
        self.congestion_per_s = self._requests * share / (1 - (rho if rho < MAX_RHO else MAX_RHO))
