"""The control loop: observe, decide, act; the same code on one machine, in Kubernetes and in virtual time.

It knows neither processes nor pods, nor how a decision is made: a `World` sees and acts, a `Policy` decides. Every
second the world is observed once; each pool whose turn has come is decided on that observation and at its instant, so
decisions depend on what was observed and on nothing else, and recorded observations give the same decisions again. A
pool that the planner let go to zero is decided out of turn once somebody waits for it: each second is one of theirs.

One bad second must not end a deployment: whatever observing, deciding or acting raises is logged, counted and left
behind, and the next second starts afresh. A policy that fails leaves its own pool as it is and no other.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from penstock.autoscale.base import Policy
from penstock.autoscale.planner import PlannerPolicy
from penstock.autoscale.policies import policy_for
from penstock.clock import Clock
from penstock.control.faults import Faults
from penstock.control.turns import Turns
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation, PoolSeen, Signal
from penstock.messages.spec import DeploymentBody

T = TypeVar("T")

OBSERVE_EVERY_S = 1.0  # the page moves once a second; policies keep their own, longer intervals


class World(Protocol):
    """What is being scaled."""

    async def observe(self, now_s: float) -> Observation:
        """See every pool, once."""

    async def act(self, decisions: Sequence[Decision]) -> None:
        """Begin to make it so. Does not wait until it is."""


class Listener(Protocol):
    """Is told of everything seen and decided."""

    def observed(self, observation: Observation) -> None:
        """The world was seen."""

    def decided(self, decision: Decision) -> None:
        """A pool was decided."""


class Decider(Protocol):
    """Where a decision is computed."""

    async def __call__(self, work: Callable[[], T]) -> T: ...


async def inline(work: Callable[[], T]) -> T:
    """Compute here and now: virtual time, in which nothing else could happen meanwhile."""
    return work()


async def in_thread(work: Callable[[], T]) -> T:
    """Compute in a thread: a rehearsal may take 300 ms, and the page and the health checks go on meanwhile."""
    return await asyncio.to_thread(work)


class Decisions:
    """The decision half of the loop: policies, their states and their turns. Knows no world and no clock."""

    def __init__(self, policies: dict[str, Policy[Any]]) -> None:
        self._policies = policies
        self._states = {name: policy.initial_state() for name, policy in policies.items()}
        self._turns = Turns({name: policy.interval_s for name, policy in policies.items()})

    @classmethod
    def of(cls, spec: DeploymentBody) -> "Decisions":
        """One policy for each pool of engines, as the spec says."""
        return cls({component.name: policy_for(spec, component) for component in spec.pools})

    def due(self, observation: Observation) -> list[Callable[[], Decision]]:
        """The decisions whose turn has come, each still to be computed; computing one moves its policy's state on."""
        seen = {pool.component: pool for pool in observation.pools}
        taken = self._turns.take(observation.time_s)
        names = [name for name in self._policies if name in taken or (name in seen and self._is_called(seen[name]))]
        return [self._work(name, seen[name], observation.time_s) for name in names if name in seen]

    def _is_called(self, seen: PoolSeen) -> bool:
        """Whether a pool sleeps while somebody waits for it. HPA and KEDA look when they look."""
        held = seen.signals.get(Signal.HELD)
        planned = isinstance(self._policies[seen.component], PlannerPolicy)
        return planned and seen.desired == 0 and held is not None and held.value > 0

    def _work(self, name: str, seen: PoolSeen, now_s: float) -> Callable[[], Decision]:
        def work() -> Decision:
            decision, state = self._policies[name].decide(self._states[name], seen, now_s=now_s)
            self._states[name] = state
            return decision

        return work


async def run(
    world: World,
    decisions: Decisions,
    clock: Clock,
    listeners: Sequence[Listener],
    *,
    until_s: float | None = None,
    observe_every_s: float = OBSERVE_EVERY_S,
    decider: Decider = inline,
    faults: Faults | None = None,
) -> None:
    """Run the loop.

    Args:
        decisions: of every pool that is scaled; their states move on.
        until_s: return once the clock reaches it; None: run until cancelled.
        observe_every_s: seconds from one look at the world to the next.
        decider: where decisions are computed: `inline`, or `in_thread` where others share the event loop.
        faults: counts what was left behind; or raises it anew, which ends the loop.
    """
    faults = faults or Faults()
    look = 0
    while until_s is None or clock.now_s() < until_s:
        await _step(world, decisions, clock.now_s(), listeners, decider, faults)
        look = max(look + 1, int(clock.now_s() / observe_every_s) + 1)  # a slow step skips looks, it doesn't drift
        wake_s = look * observe_every_s
        await clock.sleep_until(wake_s if until_s is None else min(wake_s, until_s))


async def _step(
    world: World,
    decisions: Decisions,
    now_s: float,
    listeners: Sequence[Listener],
    decider: Decider,
    faults: Faults,
) -> None:
    step = "observe"
    try:
        observation = await world.observe(now_s)
        step = "listen"
        _tell(listeners, partial(_observed, observation), faults)
        made: list[Decision] = []
        step = "decide"
        for work in decisions.due(observation):
            try:
                made.append(await decider(work))
            except Exception as error:  # noqa: BLE001 - this pool stays as it is; the others are decided
                faults.caught(step, error)
        for decision in made:
            _tell(listeners, partial(_decided, decision), faults)
        if made:
            step = "act"
            await world.act(made)
    except Exception as error:  # noqa: BLE001 - the top of the loop: one bad second must not end a deployment
        faults.caught(step, error)


def _tell(listeners: Sequence[Listener], tell: Callable[[Listener], None], faults: Faults) -> None:
    for listener in listeners:
        try:
            tell(listener)
        except Exception as error:  # noqa: BLE001 - a page or a full disk must not stop the scaling
            faults.caught("listen", error)


def _observed(observation: Observation, listener: Listener) -> None:
    listener.observed(observation)


def _decided(decision: Decision, listener: Listener) -> None:
    listener.decided(decision)
