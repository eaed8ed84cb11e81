"""The status that a kubelet writes for a pod, from its machine. Pure.

A strategic merge patch: conditions are merged by type, so that those of others (PodScheduled, DisruptionTarget) stay.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kubelet.pod_machine import ContainerLife, Ending, PodMachine, State

Thing = dict[str, Any]


def pod_status(
    pod: Mapping[str, Any], machine: PodMachine, *, pod_ip: str, host_ip: str, began_at_s: float, now_s: float
) -> Thing:
    """Status of a pod whose containers could be resolved."""
    images = {container["name"]: container.get("image", "") for container in pod["spec"]["containers"]}
    lives = list(machine.containers.values())
    phase = _phase(lives)
    unready = [life.spec.name for life in lives if not life.ready]
    if phase in ("Succeeded", "Failed"):
        ready = ("False", "PodCompleted" if phase == "Succeeded" else "PodFailed", "")
    elif unready:
        ready = ("False", "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    else:
        ready = ("True", "", "")
    yes = ("True", "", "")
    wanted = {"PodReadyToStartContainers": yes, "Initialized": yes, "ContainersReady": ready, "Ready": ready}
    return {
        "phase": phase,
        "conditions": conditions(pod.get("status", {}).get("conditions", ()), wanted, now_s),
        "containerStatuses": [_container_status(life, images[life.spec.name]) for life in lives],
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "startTime": timestamp(began_at_s),
    }


def refused_status(pod: Mapping[str, Any], why: str, *, host_ip: str, now_s: float) -> Thing:
    """Status of a pod that asks for what cannot be had."""
    names = [(container["name"], container.get("image", "")) for container in pod["spec"]["containers"]]
    ready = ("False", "ContainersNotReady", f"containers with unready status: [{' '.join(name for name, _ in names)}]")
    wanted = {"Initialized": ("True", "", ""), "ContainersReady": ready, "Ready": ready}
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": why}}
    return {
        "phase": "Pending",
        "conditions": conditions(pod.get("status", {}).get("conditions", ()), wanted, now_s),
        "containerStatuses": [_status_of(name, image, waiting) for name, image in names],
        "hostIP": host_ip,
    }


def conditions(
    before: Sequence[Mapping[str, Any]], wanted: Mapping[str, tuple[str, str, str]], now_s: float
) -> list[Thing]:
    """Conditions of a status: type to status, reason and message; a transition has its time, no change keeps it."""
    known = {condition["type"]: condition for condition in before}
    made = []
    for kind, (status, reason, message) in wanted.items():
        old = known.get(kind, {})
        same = old.get("status") == status and old.get("lastTransitionTime")
        made.append(
            {
                "type": kind,
                "status": status,
                "lastTransitionTime": old["lastTransitionTime"] if same else timestamp(now_s),
                "reason": reason or None,  # a null takes the field away
                "message": message or None,
            }
        )
    return made


def timestamp(at_s: float) -> str:
    """Seconds since 1970 as the API writes instants."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _phase(lives: Sequence[ContainerLife]) -> str:
    if all(life.state == State.ENDED for life in lives):
        return "Succeeded" if all(life.last is not None and life.last.code == 0 for life in lives) else "Failed"
    if any(life.last is None and life.state in (State.WAITING, State.STARTING) for life in lives):
        return "Pending"
    return "Running"


def _container_status(life: ContainerLife, image: str) -> Thing:
    last: Thing = {}
    if life.runs:
        state: Thing = {"running": {"startedAt": timestamp(life.launched_at_s)}}
    elif life.state == State.ENDED and life.last:
        state = _terminated(life.last)
    elif life.last and life.state == State.WAITING and life.backoff_s:
        message = f"back-off {life.backoff_s:.0f}s restarting failed container={life.spec.name}"
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    else:
        state = {"waiting": {"reason": "ContainerCreating"}}
    if life.last and life.state != State.ENDED:
        last = _terminated(life.last)
    return _status_of(life.spec.name, image, state) | {
        "ready": life.ready,
        "started": life.started,
        "restartCount": life.restarts,
        "lastState": last,
    }


def _status_of(name: str, image: str, state: Thing) -> Thing:
    return {
        "name": name,
        "image": image,
        "imageID": "",
        "state": state,
        "ready": False,
        "started": False,
        "restartCount": 0,
    }


def _terminated(ending: Ending) -> Thing:
    return {
        "terminated": {
            "exitCode": ending.code,
            "reason": "Completed" if ending.code == 0 else "Error",
            "message": ending.message,
            "startedAt": timestamp(ending.started_at_s),
            "finishedAt": timestamp(ending.ended_at_s),
        }
    }
