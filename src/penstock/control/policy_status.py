"""The status of a ScalingPolicy as the planner tells it: what there is, what it wants, and what keeps it. Pure.

Ready: there are figures to decide on. Scaling: the planner writes the count; if not, its message says why: it only
advises, or another owns it. Degraded: somebody has to do something. What the operator found of a second owner stands
beside, in `secondOwner`, and is not written here.

It changes when something of that does, not with every decision: an idle cluster is not written to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.kubernetes.conditions import condition, dated
from penstock.messages.decision import Decision
from penstock.messages.observation import PoolSeen, Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySeen:
    """What is known of a policy's target.

    Args:
        target: how it is called.
        pool: as last seen; None before it was.
        decided: the last decision; None before the first.
        advising: why it only advises; None if it writes.
        trouble: what somebody has to see to; None if nothing.
    """

    target: str
    pool: PoolSeen | None
    decided: Decision | None
    advising: str | None
    second_owner: str | None
    trouble: str | None


def policy_status(policy: Mapping[str, Any], seen: PolicySeen, *, now: str) -> dict[str, Any]:
    """The planner's part of the status. Args: now: RFC 3339."""
    pool = seen.pool
    why_not = seen.trouble or _why_not_ready(pool)
    counts = "nothing seen yet" if pool is None else f"{pool.ready} pods of {seen.target} tell their metrics"
    stands_back = seen.second_owner or seen.advising
    scaling = stands_back is None and seen.trouble is None
    reason = "Owner" if scaling else "SecondOwner" if seen.second_owner else "Advising" if seen.advising else "Trouble"
    wrong = seen.second_owner or seen.trouble
    found = (
        condition("Ready", why_not is None, "Measured" if why_not is None else "NotMeasured", why_not or counts),
        condition("Scaling", scaling, reason, stands_back or seen.trouble or f"the planner scales {seen.target}"),
        condition("Degraded", wrong is not None, "AsWanted" if wrong is None else "NeedsAttention", wrong or counts),
    )
    status: dict[str, Any] = {
        "observedGeneration": policy["metadata"].get("generation"),
        "conditions": dated(found, policy, now),
    }
    if pool is not None:
        status |= {"current": pool.desired, "ready": pool.ready}
    if seen.decided is not None:
        status["desired"] = seen.decided.desired
    return status


def _why_not_ready(pool: PoolSeen | None) -> str | None:
    if pool is None:
        return "nothing seen yet"
    if not pool.ready:
        return "no pod of it is ready"
    if Signal.DEMAND not in pool.signals:
        return "its pods tell no metrics of their requests; see spec.metrics"
    return None
