"""Who serves where: the record by which workers are made known to the gateway."""

from dataclasses import dataclass
from enum import StrEnum

from penstock.messages.engine_spec import EngineSpec


class Role(StrEnum):
    """What a component's replicas do."""

    FRONTEND = "frontend"
    WORKER = "worker"  # aggregated: prefill and decode
    PREFILL = "prefill"
    DECODE = "decode"


class WorkerState(StrEnum):
    """Where a worker is in its life, as others see it."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker that may be sent requests.

    Args:
        id: unique within the deployment, never used again for another process.
        url: base URL of its OpenAI API, without a trailing slash.
        kv_events: ZMQ endpoint that publishes its KV events; None if it has none.
        kv_replay: ZMQ endpoint that replays them.
        engine: its limits and step time; None if unknown, then the router learns from what it measures.
        ready: whether who runs it says so; where that changes, it has to prove itself anew.
    """

    id: str
    url: str
    component: str
    role: Role
    kv_events: str | None = None
    kv_replay: str | None = None
    engine: EngineSpec | None = None
    ready: bool = True
