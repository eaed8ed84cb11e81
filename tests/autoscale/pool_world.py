"""A small world for the planner: replicas that start and drain, one queue, latencies that follow from it.

What a replica serves is stated, so a test can check the planner's figure against it. No randomness.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from penstock.autoscale.policies import policy_for
from penstock.messages.decision import Decision
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.messages.spec import DeploymentBody

Demand = Callable[[float], float]
ITL = 0.02


def deployment(*, role: str = "worker", **scaling: Any) -> DeploymentBody:
    """One planned pool (and its partner, if it needs one)."""
    planned = {"name": role, "role": role, "autoscaling": {"by": "planner", "max": 8} | scaling}
    partner = {"prefill": "decode", "decode": "prefill"}.get(role)
    components = [planned] if partner is None else [planned, {"name": partner, "role": partner}]
    return DeploymentBody.model_validate(
        {"model": {"name": "m"}, "slo": {"ttft_s": 0.5, "itl_s": 0.05}, "components": components}
    )


class PoolWorld:
    """One pool under one policy, in virtual time."""

    def __init__(
        self,
        spec: DeploymentBody,
        demand: Demand,
        *,
        holds: float = 40.0,
        lead_s: float = 8.0,
        replicas: int = 1,
        drain_s: float = 3.0,
        measured_over_s: int = 1,
    ) -> None:
        component = spec.components[0]
        self.name = component.name
        self.policy = policy_for(spec, component)
        self.state = self.policy.initial_state()
        self.demand, self.holds, self.lead_s, self.drain_s = demand, holds, lead_s, drain_s
        self.measured_over_s = measured_over_s
        self.desired = self.ready = replicas
        self.starting: list[float] = []  # when each is ready
        self.draining: list[float] = []  # when each is gone
        self.queue = self.late_s = 0.0
        self.now_s = 0.0
        self.next_decision_s = 0.0
        self.decisions: list[Decision] = []
        self.lost: Iterable[Signal] = ()  # signals that are not there
        self.stale: Iterable[Signal] = ()  # signals that are minutes old

    def run(self, until_s: float) -> "PoolWorld":
        while self.now_s < until_s:
            if self.now_s >= self.next_decision_s:
                self.decide()
                self.next_decision_s += self.policy.interval_s
            self._second()
        return self

    def decide(self) -> Decision:
        decision, self.state = self.policy.decide(self.state, self.seen(), now_s=self.now_s)
        self.decisions.append(decision)
        self._act(decision.desired)
        return decision

    def seen(self) -> PoolSeen:
        looked_back = [self.now_s - second for second in range(self.measured_over_s) if self.now_s >= second]
        rate = sum(self.demand(at_s) for at_s in looked_back) / len(looked_back)
        values = {
            Signal.DEMAND: rate,
            Signal.QUEUE: self.queue if self.ready else 0.0,
            Signal.HELD: 0.0 if self.ready else self.queue,
            Signal.IN_FLIGHT: min(rate, self.ready * self.holds) * 4,
            Signal.LEAD_TIME: self.lead_s,
        }
        if self.ready:
            values[Signal.KV_USAGE] = 0.3 * min(1.0, rate / (self.ready * self.holds))
        if rate:
            values |= {Signal.ISL: 1000, Signal.ISL_P95: 2500, Signal.OSL: 200, Signal.OSL_P95: 500}
            values |= {Signal.HIT_RATIO: 0.0}
        if rate and self.ready:
            values |= {Signal.TTFT: 0.1 + self.queue / (self.ready * self.holds), Signal.ITL: ITL}
        signals = {signal: Sample(value=value, age_s=0.5) for signal, value in values.items()}
        signals |= {s: replace(signals[s], age_s=300.0) for s in self.stale if s in signals}
        signals = {signal: sample for signal, sample in signals.items() if signal not in set(self.lost)}
        return PoolSeen(
            component=self.name,
            desired=self.desired,
            starting=len(self.starting),
            ready=self.ready,
            draining=len(self.draining),
            signals=signals,
        )

    @property
    def counts(self) -> list[int]:
        return [decision.desired for decision in self.decisions]

    @property
    def changes(self) -> list[tuple[float, int, int]]:
        """(instant, from, to) of every change."""
        return [(d.time_s, d.current, d.desired) for d in self.decisions if d.desired != d.current]

    def _act(self, desired: int) -> None:
        while self.desired < desired:
            self.starting.append(self.now_s + self.lead_s)
            self.desired += 1
        while self.desired > desired:
            self.desired -= 1
            if self.starting:
                self.starting.pop()
            else:
                self.ready -= 1
                self.draining.append(self.now_s + self.drain_s)

    def _second(self) -> None:
        self.now_s += 1
        self.ready += sum(1 for at_s in self.starting if at_s <= self.now_s)
        self.starting = [at_s for at_s in self.starting if at_s > self.now_s]
        self.draining = [at_s for at_s in self.draining if at_s > self.now_s]
        self.queue = max(0.0, self.queue + self.demand(self.now_s) - self.ready * self.holds)
        if self.queue > 0.4 * self.holds * max(self.ready, 1):
            self.late_s += 1


def steps(*parts: tuple[float, float]) -> Demand:
    """(from, rate) parts: a rate holds until the next begins."""

    def demand(at_s: float) -> float:
        return next((rate for from_s, rate in reversed(parts) if at_s >= from_s), 0.0)

    return demand
