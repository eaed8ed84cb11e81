"""What a world saw at one instant: replicas and signals of each pool. No data is not zero: a signal is then absent."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Signal(StrEnum):
    """The signals of a pool that policies read, in specs, decisions and reports alike; unit last."""

    DEMAND = "requests_per_s"  # requests that arrived at the gateway, served or not
    ISL = "isl_tokens"  # mean prompt length
    ISL_P95 = "isl_p95_tokens"
    OSL = "osl_tokens"  # mean output length
    OSL_P95 = "osl_p95_tokens"
    HIT_RATIO = "hit_ratio"  # prompt tokens found in the KV cache, 0 to 1
    TTFT = "ttft_s"  # at the SLO's percentile
    ITL = "itl_s"  # at the SLO's percentile
    IN_FLIGHT = "in_flight_requests"  # sent to this pool, not finished
    QUEUE = "queue_requests"  # waiting inside this pool's engines
    RUNNING = "running_requests"
    KV_USAGE = "kv_usage"  # mean over ready workers, 0 to 1
    HELD = "held_requests"  # waiting at the gateway because no worker is ready
    CPU = "cpu_ratio"  # CPU used over CPU requested
    LEAD_TIME = "lead_time_s"  # from asking for a replica until it serves


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A measured value and how old it is. Raises: ValueError, if not finite: parse, or leave it out."""

    value: float
    age_s: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.age_s >= 0):
            raise ValueError(f"a sample must be finite and not from the future: {self.value}, age {self.age_s} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """One worker of a pool, for the page and for the choice of whom to stop."""

    id: str
    state: str  # a WorkerState
    since_s: float
    ready_at_s: float | None = None  # expected, while starting
    running: int = 0
    queue: int = 0
    kv_usage: float = 0.0
    hit_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSeen:
    """One pool at one instant.

    `desired` is what the scale says now; `starting + ready` may lag behind it. Draining replicas no longer count
    towards `desired` but are still paid for.
    """

    component: str
    desired: int
    starting: int
    ready: int
    draining: int
    signals: Mapping[Signal, Sample] = field(default_factory=dict)
    workers: tuple[WorkerSeen, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All pools at one instant, and the gateway's own counts since the start."""

    time_s: float
    pools: tuple[PoolSeen, ...]
    totals: Mapping[str, float] = field(default_factory=dict)
