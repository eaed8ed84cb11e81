"""What was decided for one pool, why, and on what figures: the record of log, page, Event and `explain`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.messages.observation import Sample


class LimitedBy(StrEnum):
    """What kept the count from where the figures alone would have put it."""

    NONE = "none"
    MIN = "min"
    MAX = "max"
    TOLERANCE = "tolerance"  # HPA: the ratio is too near 1
    STABILIZATION = "stabilization"  # HPA: the window holds an older recommendation
    RATE = "rate"  # HPA policies; planner: max_step_in
    COOL_IN = "cool_in"
    COOL_OUT = "cool_out"
    FORECAST = "forecast"  # a scale-down that the forecast would undo within the lead time
    MISSING_DATA = "missing_data"
    STALE_DATA = "stale_data"
    OWNER = "owner"  # `none` or `external`: not ours to change


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision for one pool.

    Args:
        time_s: seconds since the start of the run.
        seen: the signals that it rests on.
        figures: what was worked out from them; on the planner `demand`, `forecast` and `capacity_per_replica`, in
            requests per second, so that a page can draw demand against capacity.
        reason: one English sentence with figures.
    """

    time_s: float
    component: str
    policy: str
    current: int
    desired: int
    limited_by: LimitedBy
    reason: str
    seen: Mapping[str, Sample] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
