"""What a policy is: a pure function from what was seen of one pool to a decision, with a state that it hands back.

A policy does not know where it runs, nor what time it is: it is handed `now_s`, read once. Its state holds instants
and values in frozen types, never counts of ticks, so that another tick period changes no delay and a state can be
written down and taken up again.
"""

from typing import Protocol, TypeVar

from penstock.messages.decision import Decision
from penstock.messages.observation import PoolSeen, Sample, Signal

S = TypeVar("S")


class Policy(Protocol[S]):
    """Decides the number of replicas of one component."""

    @property
    def name(self) -> str:
        """As it stands in `autoscaling.by` and in `Decision.policy`."""

    @property
    def interval_s(self) -> float:
        """How often `decide` wants to be called. Calling it later or more often changes no delay."""

    def initial_state(self) -> S:
        """What it knows before it has seen anything."""

    def decide(self, state: S, seen: PoolSeen, *, now_s: float) -> tuple[Decision, S]:
        """Decide once. Mutates nothing. `now_s` never goes back between calls."""


def named(signals: dict[Signal, Sample]) -> dict[str, Sample]:
    """Signals as a decision's `seen` carries them: by plain name."""
    return {str(signal): sample for signal, sample in signals.items()}
