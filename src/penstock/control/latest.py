"""The last look at the world and the last few changes of a pool's size: for whoever shows a run while it goes on."""

from collections import deque
from dataclasses import dataclass, field

from penstock.messages.decision import Decision
from penstock.messages.observation import Observation

CHANGES_KEPT = 4


@dataclass(slots=True)
class Latest:
    """A Listener that forgets all but the latest."""

    observation: Observation | None = None
    changes: deque[Decision] = field(default_factory=lambda: deque(maxlen=CHANGES_KEPT))

    def observed(self, observation: Observation) -> None:
        """Take one look."""
        self.observation = observation

    def decided(self, decision: Decision) -> None:
        """Keep it, if it changes anything."""
        if decision.desired != decision.current:
            self.changes.append(decision)
