"""Who fails, and when: lifetimes drawn from an exponential distribution, and victims of failures at stated instants.

An exponential lifetime has no memory, so a worker's age does not matter, and a rate per worker is one over its mean.
All of it is drawn from a stream of its own: that something fails does not change what delays are drawn.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

from penstock.simulator.world_spec import FailuresSpec

T = TypeVar("T")
_HOUR_S = 3600.0


class Failures:
    """Draws failures. Owned by one run."""

    def __init__(self, spec: FailuresSpec, *, seed: int) -> None:
        self.spec = spec
        self._random = random.Random(f"{seed}/failures")

    def worker_life_s(self) -> float | None:
        """How long a worker that serves from now on will; None: it does not crash."""
        return self._life_s(self.spec.worker_mean_hours)

    def node_life_s(self) -> float | None:
        """How long a node that has joined now will be there; None: it is not lost."""
        return self._life_s(self.spec.node_mean_hours)

    def victims(self, among: Sequence[T], count: int) -> list[T]:
        """So many of them, or all if there are fewer."""
        return self._random.sample(among, min(count, len(among)))

    def _life_s(self, mean_hours: float | None) -> float | None:
        return None if mean_hours is None else self._random.expovariate(1 / (mean_hours * _HOUR_S))
