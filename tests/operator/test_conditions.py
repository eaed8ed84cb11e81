"""What the status of a pool and of a deployment says."""

from typing import Any

from penstock.operator.conditions import deployment_status, pool_status

NOW = "2026-01-01T00:01:00Z"
EARLIER = "2026-01-01T00:00:00Z"
UNSCHEDULABLE = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def pool(replicas: int | None = 2, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "d-worker", "generation": 4},
        "spec": {"replicas": replicas, "component": {"name": "worker"}},
        "status": status,
    }


def deployment(replicas: int, ready: int, updated: int | None = None) -> dict[str, Any]:
    updated = replicas if updated is None else updated
    return {"status": {"replicas": replicas, "readyReplicas": ready, "updatedReplicas": updated}}


def pending(since: str = EARLIER) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "message": UNSCHEDULABLE, "lastTransitionTime": since}
    return {"metadata": {"name": "p"}, "status": {"conditions": [condition]}}


def crashing() -> dict[str, Any]:
    state = {"name": "engine", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    return {"metadata": {"name": "p", "creationTimestamp": EARLIER}, "status": {"containerStatuses": [state]}}


def status(
    thing: dict[str, Any], there: dict[str, Any] | None, *pods: dict[str, Any], trouble: str | None = None
) -> Any:
    return pool_status(thing, there, pods, selector={"b": "2", "a": "1"}, trouble=trouble, now=NOW)


def states(said: Any) -> dict[str, str]:
    return {one["type"]: one["status"] for one in said["conditions"]}


def message(said: Any, kind: str) -> str:
    return str(next(one["message"] for one in said["conditions"] if one["type"] == kind))


def test_all_serve() -> None:
    said = status(pool(), deployment(2, 2))
    assert states(said) == {"Ready": "True", "Progressing": "False", "Degraded": "False"}
    assert (said["replicas"], said["readyReplicas"], said["selector"]) == (2, 2, "a=1,b=2")
    assert said["observedGeneration"] == 4


def test_a_second_owner_is_somebodys_business_and_no_outage() -> None:
    said = pool_status(
        pool(), deployment(2, 2), (), selector={"a": "1"}, trouble=None, second=["HPA a: no", "HPA b: no"], now=NOW
    )
    assert states(said) == {"Ready": "True", "Progressing": "False", "Degraded": "True"}
    assert message(said, "Degraded") == "HPA a: no; HPA b: no"


def test_before_there_is_anything_it_is_on_its_way() -> None:
    assert states(status(pool(), None)) == {"Ready": "False", "Progressing": "True", "Degraded": "False"}


def test_a_rollout_is_ready_and_still_progressing() -> None:
    assert states(status(pool(), deployment(3, 2, 1))) == {"Ready": "True", "Progressing": "True", "Degraded": "False"}


def test_a_pool_at_zero_is_ready() -> None:
    assert states(status(pool(0), deployment(0, 0)))["Ready"] == "True"


def test_a_pod_without_a_node_says_why_and_since_when_and_may_get_one() -> None:
    """The cluster autoscaler takes minutes; nobody has to be called for that."""
    said = status(pool(), deployment(2, 0), pending(NOW), pending())
    assert states(said) == {"Ready": "False", "Progressing": "True", "Degraded": "False"}
    assert message(said, "Ready") == f"0 of 2 pods serve; 2 pods cannot be scheduled ({UNSCHEDULABLE}), since {EARLIER}"


def test_a_container_that_cannot_start_needs_somebody() -> None:
    said = status(pool(), deployment(2, 1), crashing())
    assert states(said) == {"Ready": "False", "Progressing": "False", "Degraded": "True"}
    assert message(said, "Degraded") == f"1 pod cannot start (engine: CrashLoopBackOff), since {EARLIER}"


def test_pods_that_cannot_even_be_made_need_somebody() -> None:
    """A quota, say: there is no pod that could tell."""
    there = deployment(0, 0)
    there["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota", "lastTransitionTime": EARLIER}
    ]
    said = status(pool(), there)
    assert states(said) == {"Ready": "False", "Progressing": "False", "Degraded": "True"}
    assert message(said, "Degraded") == f"pods cannot be made (exceeded quota), since {EARLIER}"


def test_a_pod_that_goes_is_no_trouble() -> None:
    going = crashing()
    going["metadata"]["deletionTimestamp"] = NOW
    assert states(status(pool(), deployment(2, 2), going))["Degraded"] == "False"


def test_trouble_is_told_even_while_all_serve() -> None:
    """What is wanted could not be made; what was there goes on."""
    said = status(pool(), deployment(2, 2), trouble="Service d-worker exists and is not ours")
    assert states(said) == {"Ready": "False", "Progressing": "False", "Degraded": "True"}


def test_a_condition_keeps_its_instant_until_its_status_changes() -> None:
    first = status(pool(), deployment(2, 1))
    for one in first["conditions"]:
        one["lastTransitionTime"] = EARLIER
    second = status(pool(**first), deployment(2, 2))
    since = {one["type"]: one["lastTransitionTime"] for one in second["conditions"]}
    assert since == {"Ready": NOW, "Progressing": NOW, "Degraded": EARLIER}


def test_a_deployment_is_as_ready_as_its_components() -> None:
    thing = {"metadata": {"name": "d", "generation": 2}, "spec": {"components": [{}, {}]}}
    ready = pool(**status(pool(), deployment(2, 2)))
    broken = pool(**status(pool(), deployment(2, 0), crashing()))
    broken["spec"]["component"] = {"name": "other"}
    said = deployment_status(thing, [ready, broken], trouble=None, now=NOW)
    assert said["ready"] == "1/2"
    assert states(said) == {"Ready": "False", "Progressing": "False", "Degraded": "True"}
    assert message(said, "Degraded").startswith("other: 1 pod cannot start")
    assert message(said, "Ready") == "1 of 2 components are ready; other: 0 of 2 pods serve"
    assert said["components"][0] == {"name": "worker", "desired": 2, "ready": 2}


def test_a_pool_whose_change_was_not_seen_yet_does_not_count_as_ready() -> None:
    thing = {"metadata": {"name": "d", "generation": 2}, "spec": {"components": [{}]}}
    old = pool(**(status(pool(), deployment(2, 2)) | {"observedGeneration": 3}))
    assert deployment_status(thing, [old], trouble=None, now=NOW)["ready"] == "0/1"
