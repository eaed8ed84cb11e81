"""A pod as the control loop needs it: what it is, how far it is, how long it took. Pure: objects in, types out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from penstock.messages.worker import WorkerState

_WAITED_S = 3.0  # the scheduler takes a second at most; a pod bound later waited for a node


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPod:
    """One pod of a component.

    Args:
        age_s: since it was made. lead_time_s: from then until it was ready; None while it is not.
        waited: for a node.
    """

    name: str
    uid: str
    component: str
    state: WorkerState
    url: str | None
    age_s: float
    lead_time_s: float | None
    waited: bool


def parse_pod(pod: Mapping[str, Any], *, component_label: str, port: int, now: datetime) -> ClusterPod | None:
    """Read a pod; None for one that has ended, or is of no component."""
    meta, status = pod["metadata"], pod.get("status") or {}
    component = (meta.get("labels") or {}).get(component_label)
    if component is None or status.get("phase") in ("Succeeded", "Failed"):
        return None
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    made = instant(meta["creationTimestamp"])
    ready = conditions.get("Ready", {})
    is_ready = ready.get("status") == "True"
    if meta.get("deletionTimestamp"):
        state = WorkerState.DRAINING
    else:
        state = WorkerState.READY if is_ready else WorkerState.STARTING
    bound = conditions.get("PodScheduled", {})
    waiting_s = (now if bound.get("status") != "True" else instant(bound["lastTransitionTime"])) - made
    address = status.get("podIP")
    host = f"[{address}]" if address and ":" in address else address
    return ClusterPod(
        name=meta["name"],
        uid=meta["uid"],
        component=component,
        state=state,
        url=f"http://{host}:{port}" if host else None,
        age_s=max(0.0, (now - made).total_seconds()),
        lead_time_s=max(0.0, (instant(ready["lastTransitionTime"]) - made).total_seconds()) if is_ready else None,
        waited=waiting_s.total_seconds() > _WAITED_S,
    )


def instant(text: str) -> datetime:
    """An instant as Kubernetes writes it."""
    return datetime.fromisoformat(text)
