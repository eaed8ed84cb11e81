"""A node that waits: a real pod starts on it at once, while the next one is made."""

import pytest
from control_plane import ControlPlane
from deployments import NODE, PENSTOCK, Thing, apply, deployment, worker
from running_operator import Running, as_account, install_accounts
from test_definitions import defined as defined
from test_operator import Machines
from workloads import pods

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes

VM_SIZE = "Standard_NC40ads_H100_v5"
COLD_S = 15.0
GROUP = {
    "name": "gpu",
    "allocatable": {"cpu": "8", "memory": "8Gi", "pods": "20", "nvidia.com/gpu": "1"},
    "max_nodes": 3,
    "labels": {"node.kubernetes.io/instance-type": VM_SIZE},
    "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
    "cold_s": COLD_S,
}


def test_a_real_pod_takes_the_placeholders_node_and_the_placeholder_gets_a_new_one(
    defined: ControlPlane, machines: Machines, space: str
) -> None:
    """With the operator's own rights and the real scheduler's preemption; the image sleeps on every node."""
    install_accounts(defined, space)
    pause = ["sleep", "infinity"]
    machines(
        nodes=[NODE],
        groups=[GROUP],
        images={"penstock": PENSTOCK, "registry.k8s.io/pause": pause},
        autoscaler={"scan_s": 0.5},
    )
    running = Running(defined, space, kubeconfig=as_account(defined, space, "penstock-operator"))

    def ready(selector: str) -> list[Thing]:
        return [
            pod
            for pod in pods(defined, space, selector)
            for condition in pod.get("status", {}).get("conditions", ())
            if condition["type"] == "Ready" and condition["status"] == "True"
            if not pod["metadata"].get("deletionTimestamp")
        ]

    engines, placeholders = "penstock.dev/component=worker", "penstock.dev/warm=standard-nc40ads-h100-v5"
    images = "penstock.dev/warm=worker-image"
    try:
        thing = deployment(worker(gpu={"vmSize": VM_SIZE}, autoscaling={"by": "external"}))
        thing["spec"]["warmCapacity"] = {"nodes": 1}
        apply(defined, space, thing)
        defined.until(lambda: len(ready(engines)) == len(ready(placeholders)) == 1, 120)
        waiting = ready(placeholders)[0]["spec"]["nodeName"]
        defined.until(lambda: waiting in {pod["spec"]["nodeName"] for pod in ready(images)}, 60)
        defined.kubectl("-n", space, "scale", "componentpool/d-worker", "--replicas=2")
        defined.until(lambda: len(ready(engines)) == 2, 60)
        newest = max(ready(engines), key=lambda pod: pod["metadata"]["creationTimestamp"])
        assert newest["spec"]["nodeName"] == waiting
        moved = defined.until(lambda: ready(placeholders), 120)[0]
        node = defined.api.get(f"/api/v1/nodes/{moved['spec']['nodeName']}")
        assert node["metadata"]["name"] not in {pod["spec"]["nodeName"] for pod in ready(engines)}
        since = next(one for one in newest["status"]["conditions"] if one["type"] == "Ready")["lastTransitionTime"]
        assert since < node["metadata"]["creationTimestamp"]  # it served before that node was there
    finally:
        running.kill()
    assert "forbidden" not in running.log.read_text()
