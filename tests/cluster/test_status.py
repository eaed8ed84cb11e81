"""What the status says of pods that are not there or have no node, on a real control plane."""

from collections.abc import Callable

import pytest
from control_plane import ControlPlane
from deployments import NODE, PENSTOCK, Thing, apply, complaint, custom, deployment, worker
from machine_set import MachineSet
from running_operator import Running
from test_definitions import defined as defined

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes


def ready_message(thing: Thing) -> str:
    conditions = {each["type"]: each for each in thing.get("status", {}).get("conditions", ())}
    return str(conditions.get("Ready", {}).get("message", ""))


def test_a_pod_that_finds_no_node_says_why_and_since_when(
    defined: ControlPlane, machines: Callable[..., MachineSet], operator: Running, space: str
) -> None:
    """In the scheduler's own words, in the pool and in the deployment, and it is nobody's fault yet."""
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    gpu = {"vmSize": "Standard_NC40ads_H100_v5", "count": 1}
    apply(defined, space, deployment(worker(gpu=gpu), kubeconfig="none"))
    defined.until(
        lambda: "cannot be scheduled" in ready_message(custom(defined, space, "inferencedeployments", "d")), 90
    )
    (pod,) = defined.api.items(f"/api/v1/namespaces/{space}/pods?labelSelector=penstock.dev/component=worker")
    (scheduled,) = (each for each in pod["status"]["conditions"] if each["type"] == "PodScheduled")
    pool = custom(defined, space, "componentpools", "d-worker")
    why = f"1 pod cannot be scheduled ({scheduled['message']}), since {scheduled['lastTransitionTime']}"
    assert ready_message(pool) == f"0 of 1 pods serve; {why}"
    assert "node(s) didn't match" in why
    assert complaint(pool) == ""


def test_pods_that_a_quota_forbids_are_told(defined: ControlPlane, operator: Running, space: str) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}}}
    defined.api.create(f"/api/v1/namespaces/{space}/resourcequotas", quota)
    apply(defined, space, deployment(worker(), kubeconfig="none"))
    defined.until(lambda: "exceeded quota" in complaint(custom(defined, space, "inferencedeployments", "d")), 90)
