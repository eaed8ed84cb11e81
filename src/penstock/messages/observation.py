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
class NodePoolSeen:
    """The GPU nodes of one VM size at one instant, by state; of their GPUs, those `in_use` by pods and those `held`.

    A cordoned node takes no pods: it drains, or was lost. A deallocated one is off, costs nothing, and has image and
    weights on its disk. Placeholders hold GPUs; a pod that needs them takes their place.
    """

    vm_size: str
    gpus_per_node: int
    provisioning: int = 0
    cold: int = 0
    warm: int = 0
    cordoned: int = 0
    deallocated: int = 0
    in_use: int = 0
    held: int = 0

    @property
    def paid_gpus(self) -> int:
        """GPUs of all nodes that cost something."""
        return self.gpus_per_node * (self.provisioning + self.cold + self.warm + self.cordoned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All pools at one instant, the nodes that they share where this world has any, and the gateway's own counts."""

    time_s: float
    pools: tuple[PoolSeen, ...]
    totals: Mapping[str, float] = field(default_factory=dict)
    nodes: tuple[NodePoolSeen, ...] = ()
