"""What happens to a pool's workers (events) and what is to be done (instructions): the words of `lifecycle`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """The pool should have so many replicas."""

    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Answer to `Check`."""

    worker: str
    healthy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """Answer to `Probe`."""

    worker: str
    served: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a worker carries, for the choice of whom to stop."""

    worker: str
    in_flight: int
    cached_tokens_per_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """The process is gone, or could not be started."""

    worker: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed."""


Event = Want | Checked | Probed | Measured | Exited | Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """Start a process that waits `delay_s` before it serves."""

    worker: str
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Ask /health and report `Checked`, within a second or two."""

    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Ask for one real completion and report `Probed`."""

    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """The set of ready workers changed: make it known. Always comes before a drain or a kill of the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Tell it to finish what it has and exit."""

    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End the process now."""

    worker: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """Nobody asked for this death: log it."""

    worker: str
    how: str
    again_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolGaveUp:
    """No more starts in this pool. Said once."""

    why: str


Instruction = Spawn | Check | Probe | Publish | Drain | Kill | Died | PoolGaveUp
