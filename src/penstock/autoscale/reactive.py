"""The simplest policy that works: as many replicas as the largest load of the last window takes, times a headroom.

A yardstick: with both numbers chosen in hindsight on the workload at hand it is what a diligent operator could have
tuned by hand, and a planner that needs no hindsight has to be measured against it. Nobody can own a pool by it.
"""

import math
from dataclasses import dataclass

from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import PoolSeen, Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactiveState:
    """Samples of the window, (at_s, requests/s), that no later one exceeds: oldest first, so the largest first."""

    samples: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactivePolicy:
    """Largest load of the last `window_s`, times `headroom`, over `per_replica` requests/s."""

    window_s: float
    headroom: float
    per_replica: float
    most: int
    interval_s: float = 5.0

    name = "hindsight"

    def initial_state(self) -> ReactiveState:
        return ReactiveState()

    def decide(self, state: ReactiveState, seen: PoolSeen, *, now_s: float) -> tuple[Decision, ReactiveState]:
        samples = tuple(sample for sample in state.samples if sample[0] > now_s - self.window_s)
        demand = seen.signals.get(Signal.DEMAND)
        if demand is not None:
            samples = (*(sample for sample in samples if sample[1] > demand.value), (now_s, demand.value))
        peak = samples[0][1] if samples else None
        desired = seen.desired if peak is None else self.replicas_for(peak)
        decision = Decision(
            time_s=now_s,
            component=seen.component,
            policy=self.name,
            current=seen.desired,
            desired=desired,
            limited_by=LimitedBy.MAX if desired == self.most else LimitedBy.NONE,
            reason=(
                f"At most {peak or 0:.3g} requests/s in the last {self.window_s:g} s, times {self.headroom:.3g}; one "
                f"replica is taken to carry {self.per_replica:.3g}."
            ),
        )
        return decision, ReactiveState(samples=samples)

    def replicas_for(self, rate: float) -> int:
        """Replicas for a load, at least one."""
        return min(max(1, math.ceil(rate * self.headroom / self.per_replica - 1e-9)), self.most)
