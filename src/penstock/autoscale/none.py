"""Pools that are not ours to scale: `none` keeps the count of the spec, `external` follows somebody else's controller.

Both still decide, so that the log says who owns the pool. `none` asks for its count (a crashed or foreign change is
mended); `external` asks for whatever stands.
"""

from dataclasses import dataclass

from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import PoolSeen

# Nothing is worked out here; often enough to mend a changed scale, seldom enough to keep the log short.
INTERVAL_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoState:
    """Nothing to remember."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPolicy:
    """`autoscaling.by: none`: the count that the spec states."""

    replicas: int

    name = "none"
    interval_s = INTERVAL_S

    def initial_state(self) -> NoState:
        return NoState()

    def decide(self, state: NoState, seen: PoolSeen, *, now_s: float) -> tuple[Decision, NoState]:
        if seen.desired == self.replicas:
            reason = f"The spec states {self.replicas} and nothing scales this pool; staying."
        else:
            reason = f"The spec states {self.replicas} and nothing scales this pool; going back from {seen.desired}."
        return _decision(self.name, seen, self.replicas, reason, now_s), state


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalPolicy:
    """`autoscaling.by: external`: the count that another controller wrote."""

    name = "external"
    interval_s = INTERVAL_S

    def initial_state(self) -> NoState:
        return NoState()

    def decide(self, state: NoState, seen: PoolSeen, *, now_s: float) -> tuple[Decision, NoState]:
        reason = f"Another controller owns this pool and asks for {seen.desired}; not ours to change."
        return _decision(self.name, seen, seen.desired, reason, now_s), state


def _decision(policy: str, seen: PoolSeen, desired: int, reason: str, now_s: float) -> Decision:
    return Decision(
        time_s=now_s,
        component=seen.component,
        policy=policy,
        current=seen.desired,
        desired=desired,
        limited_by=LimitedBy.OWNER,
        reason=reason,
    )
