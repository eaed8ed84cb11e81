"""Who may serve, and what a scrape or response told of it."""

from dataclasses import dataclass

from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role, WorkerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker as the router needs to know it.

    Args:
        engine: limits and step time; None if unknown: then defaults, corrected by what is measured.
        kv_events: it publishes its KV events. Without them, its cache is guessed from what it was sent.
    """

    id: str
    role: Role = Role.WORKER
    engine: EngineSpec | None = None
    kv_events: bool = True

    @classmethod
    def from_record(cls, record: WorkerRecord) -> "WorkerInfo":
        """Take what counts here from the record of discovery."""
        return cls(id=record.id, role=record.role, engine=record.engine, kv_events=record.kv_events is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """What a worker said of itself. None or NaN: not told, which never counts as idle.

    Args:
        at_s: when the worker counted, on the router's clock; take the instant before asking, if the worker does not
            say.
        running, waiting: requests inside the engine, from whomever.
        kv_usage: share of its KV blocks in use, 0 to 1.
    """

    at_s: float
    running: float | None = None
    waiting: float | None = None
    kv_usage: float | None = None
