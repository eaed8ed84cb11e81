"""What a new replica takes until it serves, learnt from those before: apart for pods that found a node and that waited.

Until one was seen, the deployment's `startup` counts. It does not know the world's true delays: a planner in
production does not either.
"""

from collections import deque

from penstock.messages.engine_spec import StartupSpec

REMEMBERED = 5  # enough to smooth, few enough to follow a cloud that got slow


class LeadTimes:
    """The lead times of one pool."""

    def __init__(self, startup: StartupSpec) -> None:
        self._warm: deque[float] = deque([startup.warm_s], maxlen=REMEMBERED)
        self._cold: deque[float] = deque([startup.cold_s], maxlen=REMEMBERED)
        self._assumed = {id(self._warm), id(self._cold)}

    def took(self, seconds: float, *, waited: bool) -> None:
        """A pod became ready so long after it was asked for; `waited`: for a node."""
        seen = self._cold if waited else self._warm
        if id(seen) in self._assumed:
            self._assumed.remove(id(seen))
            seen.clear()
        seen.append(seconds)

    def next_s(self, *, room: bool) -> float:
        """What the next one will take; `room`: a node would take it at once."""
        seen = self._warm if room else self._cold
        return sum(seen) / len(seen)
