"""The status of our objects, honestly: how many serve, and if not all, why and since when. Pure.

Ready: as many pods serve as are wanted; if not, its message says why and since when. Progressing: things are not yet as
wanted, and time may bring them there: a pod that finds no node waits for the cluster autoscaler. Degraded: somebody
has to do something; the message says what. A condition keeps its instant until its status changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.kubernetes.conditions import condition, dated
from penstock.operator.objects import Object, label_selector

Conditions = tuple[Object, ...]
_NEEDS_SOMEBODY = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
}


def pool_status(
    pool: Mapping[str, Any],
    deployment: Mapping[str, Any] | None,
    pods: Iterable[Mapping[str, Any]],
    *,
    selector: Mapping[str, str],
    trouble: str | None,
    second: Sequence[str] = (),
    now: str,
) -> Object:
    """The status of a ComponentPool.

    Args:
        deployment: the one that it owns, if it is there yet.
        pods: its pods.
        trouble: why what should exist could not be made to; None if it was.
        second: why others own its count too.
        now: the instant, RFC 3339.
    """
    said = (deployment or {}).get("status") or {}
    wanted = pool["spec"].get("replicas") or 0
    there, ready = said.get("replicas", 0), said.get("readyReplicas", 0)
    updated = said.get("updatedReplicas", 0)
    pending, broken = _why_not(pods)
    why = "; ".join(filter(None, (trouble, _not_made(said), broken, *second))) or None
    serving = ready >= wanted and trouble is None
    settled = serving and there == wanted and updated == wanted
    counts = "; ".join(filter(None, (f"{ready} of {wanted} pods serve", pending)))
    found = (
        condition("Ready", serving, "AllServe" if serving else "TooFewServe", counts),
        condition("Progressing", not settled and why is None, "Settled" if settled else "Changing", counts),
        condition("Degraded", why is not None, "AsWanted" if why is None else "NeedsAttention", why or counts),
    )
    return {
        "observedGeneration": pool["metadata"].get("generation"),
        "replicas": there,
        "readyReplicas": ready,
        "selector": label_selector(selector),
        "conditions": dated(found, pool, now),
    }


def deployment_status(
    deployment: Mapping[str, Any], pools: Sequence[Mapping[str, Any]], *, trouble: str | None, now: str
) -> Object:
    """The status of an InferenceDeployment, from those of its pools."""
    components, waiting = [], []
    ready = 0
    complaints = [trouble] if trouble else []
    for pool in sorted(pools, key=lambda pool: str(pool["metadata"]["name"])):
        status = pool.get("status") or {}
        conditions = {each["type"]: each for each in status.get("conditions") or ()}
        name = pool["spec"]["component"]["name"]
        components.append(
            {"name": name, "desired": pool["spec"].get("replicas") or 0, "ready": status.get("readyReplicas", 0)}
        )
        current = status.get("observedGeneration") == pool["metadata"].get("generation")
        is_ready = current and conditions.get("Ready", {}).get("status") == "True"
        ready += is_ready
        if current and not is_ready and "Ready" in conditions:
            waiting.append(f"{name}: {conditions['Ready']['message']}")
        if conditions.get("Degraded", {}).get("status") == "True":
            complaints.append(f"{name}: {conditions['Degraded']['message']}")
    wanted = len(deployment["spec"]["components"])
    counts = "; ".join((f"{ready} of {wanted} components are ready", *waiting))
    all_ready = ready == wanted and not trouble
    why = "; ".join(complaints) or None
    found = (
        condition("Ready", all_ready, "AllReady" if all_ready else "NotAllReady", counts),
        condition("Progressing", not all_ready and why is None, "Settled" if all_ready else "Changing", counts),
        condition("Degraded", why is not None, "AsWanted" if why is None else "NeedsAttention", why or counts),
    )
    return {
        "observedGeneration": deployment["metadata"].get("generation"),
        "ready": f"{ready}/{wanted}",
        "components": components,
        "conditions": dated(found, deployment, now),
    }


def _not_made(deployment_status: Mapping[str, Any]) -> str | None:
    """Why pods are not even there: a quota, an admission webhook, an account that is missing."""
    for said in deployment_status.get("conditions") or ():
        if said["type"] == "ReplicaFailure" and said["status"] == "True":
            return f"pods cannot be made ({said.get('message', '')}), since {said.get('lastTransitionTime')}"
    return None


def _why_not(pods: Iterable[Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """Why pods do not serve: those that wait for a node, and those that somebody has to look at."""
    pending: list[tuple[str, str]] = []
    broken: list[tuple[str, str]] = []
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp"):
            continue
        status = pod.get("status") or {}
        for said in status.get("conditions") or ():
            if said["type"] == "PodScheduled" and said["status"] == "False":
                reason = f"cannot be scheduled ({said.get('message', '')})"
                pending.append((reason, said.get("lastTransitionTime", "")))
        for container in status.get("containerStatuses") or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _NEEDS_SOMEBODY:
                reason = f"cannot start ({container['name']}: {waiting['reason']})"
                broken.append((reason, pod["metadata"].get("creationTimestamp", "")))
    return _grouped(pending), _grouped(broken)


def _grouped(found: Sequence[tuple[str, str]]) -> str | None:
    """Each reason once, with how many pods it holds up, and since when the first."""
    reasons: dict[str, list[str]] = {}
    for reason, since in found:
        reasons.setdefault(reason, []).append(since)
    return (
        "; ".join(
            f"{len(instants)} {'pod' if len(instants) == 1 else 'pods'} {reason}, since {min(instants)}"
            for reason, instants in sorted(reasons.items())
        )
        or None
    )
