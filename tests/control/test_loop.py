"""The control loop in virtual time: same demand, same decisions, byte for byte; and what must not stop it."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock.autoscale.policies import policy_for
from penstock.control.clocks import MonotonicClock
from penstock.control.faults import Faults
from penstock.control.loop import Decisions, Listener, in_thread, run
from penstock.control.turns import Turns
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation, PoolSeen, Sample, Signal
from penstock.messages.parse_spec import parse_spec
from penstock.messages.spec import DeploymentBody
from penstock.simulator.clock import VirtualClock
from penstock.telemetry.journal import Journal, decision_line, read_history

SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: three-owners}
spec:
  model: {name: penstock/tiny}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05, percentile: 95}
  components:
    - {name: frontend, role: frontend}
    # At the default quantile a burst just seen is provided for until long after these four minutes: it would only grow.
    - {name: planned, role: worker, autoscaling: {by: planner, min: 1, max: 6, coolInSeconds: 20, quantile: 0.8}}
    - name: hpa
      role: worker
      autoscaling:
        by: hpa
        min: 1
        max: 6
        metrics: [{metric: requests_per_s, target: 20}]
        behavior: {scaleDown: {stabilizationWindowSeconds: 30}}
    - name: keda
      role: worker
      autoscaling:
        {by: keda, min: 0, max: 6, cooldownPeriodSeconds: 30, triggers: [{metric: requests_per_s, threshold: 20}]}
    - {name: fixed, role: worker, replicas: 2}
"""
LEAD_S = 8.0
RUN_S = 240.0


def deployment() -> DeploymentBody:
    return parse_spec(SPEC, source="test").spec


def demand_per_s(at_s: float) -> float:
    """A morning, a burst, silence."""
    if at_s >= 180:
        return 0.0
    return 20 + 15 * math.sin(at_s / 30) + (80 if 60 <= at_s < 100 else 0)


@dataclass
class ScriptedPool:
    """Replicas that become ready LEAD_S after they were asked for; signals follow the script."""

    desired: int
    ready_at_s: list[float] = field(default_factory=list)

    def want(self, replicas: int, now_s: float) -> None:
        self.ready_at_s = sorted(self.ready_at_s)[:replicas]
        self.ready_at_s += [now_s + LEAD_S] * (replicas - len(self.ready_at_s))
        self.desired = replicas

    def seen(self, component: str, now_s: float) -> PoolSeen:
        ready = sum(at_s <= now_s for at_s in self.ready_at_s)
        rate = demand_per_s(now_s) * (8 if component == "planned" else 1)  # an engine carries more than HPA's target
        signals = {Signal.DEMAND: rate, Signal.QUEUE: max(0.0, rate - 30 * ready), Signal.LEAD_TIME: LEAD_S}
        if rate:
            signals |= {Signal.ISL: 900.0, Signal.ISL_P95: 1800.0, Signal.OSL: 60.0, Signal.OSL_P95: 120.0}
            signals |= {Signal.TTFT: 0.2, Signal.ITL: 0.02, Signal.RUNNING: rate, Signal.IN_FLIGHT: rate}
        return PoolSeen(
            component=component,
            desired=self.desired,
            starting=self.desired - ready,
            ready=ready,
            draining=0,
            signals={signal: Sample(value=value) for signal, value in signals.items()},
        )


class ScriptedWorld:
    def __init__(self, spec: DeploymentBody) -> None:
        self.pools = {pool.name: ScriptedPool(0) for pool in spec.pools}
        for pool in spec.pools:
            self.pools[pool.name].want(pool.initial_replicas, -LEAD_S)
        self.now_s = 0.0

    async def observe(self, now_s: float) -> Observation:
        self.now_s = now_s
        return Observation(time_s=now_s, pools=tuple(pool.seen(name, now_s) for name, pool in self.pools.items()))

    async def act(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            self.pools[decision.component].want(decision.desired, self.now_s)


@dataclass
class Heard:
    observations: list[Observation] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def observed(self, observation: Observation) -> None:
        self.observations.append(observation)

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)


def live(spec: DeploymentBody, *listeners: Listener) -> Heard:
    heard, clock = Heard(), VirtualClock()
    clock.run(run(ScriptedWorld(spec), Decisions.of(spec), clock, [heard, *listeners], until_s=RUN_S))
    return heard


def directly(spec: DeploymentBody) -> list[Decision]:
    """The same demand, straight into the policies: no loop, no clock, no world."""
    world = ScriptedWorld(spec)
    made: list[Decision] = []
    policies = {pool.name: policy_for(spec, pool) for pool in spec.pools}
    states = {name: policy.initial_state() for name, policy in policies.items()}
    for second in range(int(RUN_S)):
        now_s = float(second)
        seen = {name: world.pools[name].seen(name, now_s) for name in policies}  # all see the same instant
        for name, policy in policies.items():
            if now_s % policy.interval_s == 0:
                decision, states[name] = policy.decide(states[name], seen[name], now_s=now_s)
                made.append(decision)
                world.pools[name].want(decision.desired, now_s)
    return made


def test_the_live_loop_in_virtual_time_and_the_decision_code_alone_decide_the_same_byte_for_byte() -> None:
    spec = deployment()
    looped = b"".join(decision_line(decision) for decision in live(spec).decisions)
    alone = b"".join(decision_line(decision) for decision in directly(spec))
    assert looped == alone
    for name in ("planned", "hpa", "keda"):
        moves = {(d.desired > d.current) - (d.desired < d.current) for d in live(spec).decisions if d.component == name}
        assert moves == {-1, 0, 1}, f"{name}: a demand that scales nothing up and down proves nothing"


def test_recorded_observations_give_the_same_decisions_byte_for_byte(tmp_path: Path) -> None:
    spec = deployment()
    journal = Journal(tmp_path)
    live(spec, journal)
    journal.close()
    decisions = Decisions.of(spec)
    again = [work() for observation in read_history(tmp_path / "history.jsonl") for work in decisions.due(observation)]
    assert b"".join(map(decision_line, again)) == (tmp_path / "decisions.jsonl").read_bytes()


def test_the_loop_observes_every_second_and_decides_each_pool_at_its_own_interval() -> None:
    heard = live(deployment())
    assert [observation.time_s for observation in heard.observations] == [float(second) for second in range(240)]
    instants = {
        name: [d.time_s for d in heard.decisions if d.component == name][:3] for name in ("planned", "hpa", "fixed")
    }
    assert instants == {"planned": [0, 5, 10], "hpa": [0, 15, 30], "fixed": [0, 15, 30]}


def test_a_planned_pool_at_zero_is_decided_the_second_that_somebody_waits_for_it() -> None:
    """Out of turn, until it wakes; KEDA polls when it polls."""
    text = SPEC.replace("by: planner, min: 1", "by: planner, min: 0")
    decisions = Decisions.of(parse_spec(text, source="test").spec)

    def decided(time_s: float, desired: int, held: float) -> list[tuple[str, int]]:
        signals = {Signal.DEMAND: Sample(value=held), Signal.HELD: Sample(value=held)}
        pools = tuple(
            PoolSeen(component=name, desired=desired, starting=desired, ready=0, draining=0, signals=signals)
            for name in ("planned", "keda")
        )
        made = [work() for work in decisions.due(Observation(time_s=time_s, pools=pools))]
        return [(decision.component, decision.desired) for decision in made]

    assert decided(0.0, 0, 0.0) == [("planned", 0), ("keda", 0)]
    assert decided(1.0, 0, 0.0) == []
    assert decided(2.0, 0, 1.0) == [("planned", 1)]
    assert decided(3.0, 1, 1.0) == []
    assert [name for name, _ in decided(5.0, 1, 1.0)] == ["planned"]


def test_turns_keep_to_the_grid_when_one_came_late() -> None:
    turns = Turns({"a": 5.0, "b": 0.1})
    assert turns.take(0.0) == ("a", "b")
    assert turns.take(4.9) == ("b",)
    assert turns.take(7.3) == ("a", "b")  # 2.3 s late
    assert turns.take(9.9999) == ("b",)
    assert turns.take(10.0) == ("a", "b")


def test_turns_at_multiples_that_floats_round_down_are_taken_once() -> None:
    turns = Turns({"a": 0.1})
    taken = sum(bool(turns.take(step * 0.1)) for step in range(1000))
    assert taken == 1000


class BadWorld(ScriptedWorld):
    """Fails to observe in one second, fails to act in another."""

    async def observe(self, now_s: float) -> Observation:
        if now_s in (3.0, 4.0):
            raise OSError("no answer")
        return await super().observe(now_s)

    async def act(self, decisions: Sequence[Decision]) -> None:
        if self.now_s == 5.0:
            raise OSError("no room")
        await super().act(decisions)


class BadListener:
    def observed(self, observation: Observation) -> None:
        raise ValueError("full disk")

    def decided(self, decision: Decision) -> None:
        raise ValueError("full disk")


def test_a_bad_second_is_counted_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    spec, clock, heard, faults = deployment(), VirtualClock(), Heard(), Faults()
    clock.run(run(BadWorld(spec), Decisions.of(spec), clock, [BadListener(), heard], until_s=12.0, faults=faults))
    assert [o.time_s for o in heard.observations] == [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]
    assert [d.time_s for d in heard.decisions if d.component == "planned"] == [0, 5, 10]
    assert faults.counts["observe"] == 2
    assert faults.counts["act"] == 1
    assert faults.counts["listen"] == len(heard.observations) + len(heard.decisions)
    traces = [record for record in caplog.records if record.exc_info]
    assert len(traces) == 3, "each fault is told in full once"


def test_a_policy_that_fails_leaves_its_own_pool_as_it_is_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, clock, heard, faults = deployment(), VirtualClock(), Heard(), Faults()
    decisions = Decisions.of(spec)
    broken = type(decisions._policies["planned"])

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("mix")

    monkeypatch.setattr(broken, "decide", fail)
    clock.run(run(ScriptedWorld(spec), Decisions.of(spec), clock, [heard], until_s=6.0, faults=faults))
    assert faults.counts["decide"] == 2
    assert {d.component for d in heard.decisions} == {"hpa", "keda", "fixed"}


def test_a_slow_decision_in_a_thread_does_not_block_the_event_loop() -> None:
    async def main() -> int:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.01)
                beats += 1

        heart = asyncio.create_task(beat())
        await in_thread(lambda: time.sleep(0.3))
        heart.cancel()
        return beats

    assert asyncio.run(main()) >= 5


def test_the_monotonic_clock_waits_until_the_instant_is_reached() -> None:
    async def main() -> float:
        clock = MonotonicClock()
        await clock.sleep_until(0.02)
        return clock.now_s()

    assert asyncio.run(main()) >= 0.02
