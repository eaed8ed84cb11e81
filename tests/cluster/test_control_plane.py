"""The testbed's control plane and process kubelet: real controllers over real processes."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from api_client import ApiError, fetch
from control_plane import ControlPlane
from external_metrics import external_metrics
from machine_set import MachineSet
from workloads import PORT, Thing, answers, pods, ready_addresses, service, web

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes

NODE = {"name": "node-a", "allocatable": {"cpu": "8", "memory": "8Gi", "pods": "50"}}
Machines = Callable[..., MachineSet]


def create(cluster: ControlPlane, space: str, *things: Thing) -> None:
    cluster.kubectl(
        "-n", space, "apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": things})
    )


def deployed(cluster: ControlPlane, space: str, deployment: Thing) -> None:
    create(cluster, space, deployment, service())
    wanted = deployment["spec"]["replicas"]
    cluster.until(lambda: len(ready_addresses(cluster, space)) == wanted)


def pod_folder(cluster: ControlPlane, pod: Thing) -> Path:
    """The directory that its containers run in."""
    return next(iter(cluster.folder.glob(f"machines-*/pods/*_{pod['metadata']['uid'][:8]}")))


def host_pid(pod: Thing) -> int:
    """The process of a pod's container, as this process may signal it."""
    name = pod["metadata"]["name"]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if name in words and any(word.endswith("small_server.py") for word in words):
                return int(entry.name)
    raise LookupError(name)


def test_a_deployment_serves_at_the_addresses_of_its_endpoint_slices(
    cluster: ControlPlane, machines: Machines, space: str
) -> None:
    """Each pod at its own; `kubectl scale` adds and removes; the version is that of the release."""
    machines(nodes=[NODE])
    assert "v1.34.2" in cluster.kubectl("version")
    deployed(cluster, space, web(replicas=2))
    addresses = ready_addresses(cluster, space)
    assert len(set(addresses)) == 2
    assert {answers(cluster, address)[0] for address in addresses} == {
        pod["metadata"]["name"] for pod in pods(cluster, space)
    }
    cluster.kubectl("-n", space, "scale", "deployment/web", "--replicas=4")
    cluster.until(lambda: len(ready_addresses(cluster, space)) == 4)
    cluster.kubectl("-n", space, "scale", "deployment/web", "--replicas=1")
    cluster.until(lambda: len(pods(cluster, space)) == 1)
    for address in set(addresses) - set(ready_addresses(cluster, space)):
        with pytest.raises(OSError):
            answers(cluster, address)


def test_a_real_worker_is_a_pod_by_the_name_of_its_image(cluster: ControlPlane, machines: Machines, space: str) -> None:
    """Ready when it serves its model; told to go, it ends by itself, well within its grace period."""
    machines(nodes=[NODE], images={"penstock": [sys.executable, "-m", "penstock.cli.program"]})
    worker = web(replicas=1, terminationGracePeriodSeconds=600)
    container = worker["spec"]["template"]["spec"]["containers"][0]
    del container["command"]
    container["image"] = "penstock:0.1"
    container["args"] = ["worker", "--role=worker", "--host=$(POD_IP)", f"--port={PORT}", "--id=$(POD_NAME)"]
    deployed(cluster, space, worker)
    models = json.loads(fetch(cluster.namespace, f"http://{ready_addresses(cluster, space)[0]}:{PORT}/v1/models")[1])
    assert models["data"]
    cluster.kubectl("-n", space, "delete", "deployment/web")
    cluster.until(lambda: not pods(cluster, space))


def test_a_rolling_update_always_serves(cluster: ControlPlane, machines: Machines, space: str) -> None:
    """Never fewer ready than it began with, and the new version at its end."""
    machines(nodes=[NODE])
    drain = {"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}
    deployed(cluster, space, web(replicas=2, **drain))
    update = web(replicas=2, version="2", **drain)
    update["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    create(cluster, space, update)
    versions: set[str] = set()

    def is_new() -> bool:
        addresses = ready_addresses(cluster, space)
        assert len(addresses) >= 2
        said = [answers(cluster, address)[1] for address in addresses]
        versions.update(said)
        return said == ["2", "2"]

    cluster.until(is_new)
    assert versions == {"1", "2"}


def test_a_deletion_waits_out_the_hook_and_then_takes_the_pod(
    cluster: ControlPlane, machines: Machines, space: str
) -> None:
    """Serving and terminating, not ready, while the hook runs; then SIGTERM, and only then is the pod gone."""
    machines(nodes=[NODE])
    marker = "echo hook > hook; until test -e go; do sleep 0.1; done"
    lifecycle = {"preStop": {"exec": {"command": ["sh", "-c", marker]}}}
    deployed(cluster, space, web(replicas=1, lifecycle=lifecycle, terminationGracePeriodSeconds=120))
    address, pod = ready_addresses(cluster, space)[0], pods(cluster, space)[0]
    cluster.kubectl("-n", space, "scale", "deployment/web", "--replicas=0")
    folder = pod_folder(cluster, pod)
    cluster.until(lambda: (folder / "hook").exists())
    cluster.until(lambda: not ready_addresses(cluster, space))
    assert answers(cluster, address)[0] == pod["metadata"]["name"]
    assert "deletionTimestamp" in pods(cluster, space)[0]["metadata"]
    (folder / "go").touch()
    cluster.until(lambda: not pods(cluster, space))
    with pytest.raises(OSError):
        answers(cluster, address)


def test_who_ignores_sigterm_is_killed_when_the_grace_period_is_over(
    cluster: ControlPlane, machines: Machines, space: str
) -> None:
    """With all that it began."""
    machines(nodes=[NODE])
    stubborn = web(
        replicas=1,
        terminationGracePeriodSeconds=2,
        command=["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"],
    )
    for probe in ("readinessProbe", "livenessProbe"):
        del stubborn["spec"]["template"]["spec"]["containers"][0][probe]
    deployed(cluster, space, stubborn)
    began_s = time.monotonic()
    cluster.kubectl("-n", space, "delete", "deployment/web")
    cluster.until(lambda: not pods(cluster, space))
    assert time.monotonic() - began_s >= 2


def test_a_killed_process_and_an_ill_one_are_started_again(
    cluster: ControlPlane, machines: Machines, space: str
) -> None:
    """Exit code 137 and a restart in the status; the address stays; liveness does the same for one that hangs."""
    machines(nodes=[NODE])
    get = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1}
    probes = {"startupProbe": get | {"failureThreshold": 60}, "livenessProbe": get | {"failureThreshold": 2}}
    deployed(cluster, space, web(replicas=1, **probes))
    pod, address = pods(cluster, space)[0], ready_addresses(cluster, space)[0]
    os.kill(host_pid(pod), signal.SIGKILL)

    def restarts() -> int:
        return pods(cluster, space)[0]["status"]["containerStatuses"][0]["restartCount"]

    cluster.until(lambda: restarts() == 1 and ready_addresses(cluster, space) == [address])
    status = pods(cluster, space)[0]["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 137
    folder = pod_folder(cluster, pod)
    (folder / "ill").touch()
    cluster.until(lambda: "waiting" in pods(cluster, space)[0]["status"]["containerStatuses"][0]["state"])
    (folder / "ill").unlink()
    cluster.until(lambda: restarts() == 2 and ready_addresses(cluster, space) == [address])


def test_a_node_comes_for_a_pod_without_a_gpu_and_goes_when_it_is_not_needed(
    cluster: ControlPlane, machines: Machines, space: str
) -> None:
    """Through the real scheduler: refused, then bound when the node has joined; bounded by the group's maximum."""
    gpus = {"limits": {"nvidia.com/gpu": "1"}}
    allocatable = NODE["allocatable"] | {"nvidia.com/gpu": "1"}
    group = {"name": "gpu", "allocatable": allocatable, "max_nodes": 2, "cold_s": 1, "warm_s": 0.5}
    machines(groups=[group], autoscaler={"scan_s": 0.5, "unneeded_s": 2, "delay_after_add_s": 2})
    create(cluster, space, web(replicas=3, resources=gpus), service())
    cluster.until(lambda: len(ready_addresses(cluster, space)) == 2)
    waiting = [pod for pod in pods(cluster, space) if not pod["spec"].get("nodeName")]
    assert len(waiting) == 1
    assert waiting[0]["status"]["conditions"][0]["reason"] == "Unschedulable"
    cluster.kubectl("-n", space, "scale", "deployment/web", "--replicas=1")

    def gpu_nodes() -> list[Thing]:
        return cluster.api.items("/api/v1/nodes?labelSelector=testbed/node-group%3Dgpu")

    cluster.until(lambda: len(gpu_nodes()) == 1)
    assert len(ready_addresses(cluster, space)) == 1


def test_what_a_pod_may_not_have_is_in_its_status(cluster: ControlPlane, machines: Machines, space: str) -> None:
    """A missing ConfigMap keeps it waiting and says so; once there, its files are where the mount path says."""
    machines(nodes=[NODE])
    volumes = {
        "volumes": [{"name": "config", "configMap": {"name": "late"}}],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/late"}],
        "command": [
            "sh",
            "-c",
            'read word < /etc/late/word; exec "$0" "$@" "$word"',
            *web()["spec"]["template"]["spec"]["containers"][0]["command"][:-1],
        ],
    }
    create(cluster, space, web(replicas=1, **volumes), service())

    def said() -> str:
        return pods(cluster, space)[0]["status"]["containerStatuses"][0]["state"]["waiting"]["message"]

    cluster.until(lambda: said() == "configmap 'late' not found")
    create(
        cluster,
        space,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}, "data": {"word": "found\n"}},
    )
    address = cluster.until(lambda: ready_addresses(cluster, space))[0]
    assert answers(cluster, address)[1] == "found"


def test_the_real_autoscaler_scales_a_custom_resource_by_an_external_metric(cluster: ControlPlane, space: str) -> None:
    """Through its scale subresource; without a value it holds. By hand, too, and within the schema."""
    group = f"/apis/testbed.penstock.dev/v1/namespaces/{space}/fleets"
    fleet = {"apiVersion": "testbed.penstock.dev/v1", "kind": "Fleet", "metadata": {"name": "f"}}
    cluster.api.create(group, fleet | {"spec": {"replicas": 1}})
    cluster.kubectl("-n", space, "scale", "fleet/f", "--replicas=2")
    with pytest.raises(ApiError) as refused:
        cluster.api.patch(f"{group}/f", {"spec": {"replicas": -1}})
    assert refused.value.code == 422
    cluster.api.patch(f"{group}/f/status", {"status": {"replicas": 2, "selector": "app=f"}})
    metric = {"metric": {"name": "queued"}, "target": {"type": "AverageValue", "averageValue": "10"}}
    target = {"apiVersion": fleet["apiVersion"], "kind": "Fleet", "name": "f"}
    spec = {"scaleTargetRef": target, "maxReplicas": 5, "metrics": [{"type": "External", "external": metric}]}
    autoscalers = f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers"

    def reasons() -> list[str]:
        return [one["reason"] for one in cluster.api.get(f"{autoscalers}/f")["status"]["conditions"]]

    with external_metrics(cluster) as metrics:
        metrics.tell({"queued": 35})
        cluster.api.create(autoscalers, {"metadata": {"name": "f"}, "spec": spec})
        cluster.until(lambda: cluster.api.get(f"{group}/f")["spec"]["replicas"] == 4)
        metrics.tell({})
        cluster.until(lambda: "FailedGetExternalMetric" in reasons())
        assert cluster.api.get(f"{group}/f")["spec"]["replicas"] == 4


def test_pods_serve_while_the_api_server_is_away(cluster: ControlPlane, machines: Machines, space: str) -> None:
    """And what happened meanwhile is told when it is back."""
    machines(nodes=[NODE])
    deployed(cluster, space, web(replicas=1))
    address, before = ready_addresses(cluster, space)[0], pods(cluster, space)[0]
    cluster.stop("kube-apiserver")
    os.kill(host_pid(before), signal.SIGKILL)

    def is_back() -> bool:
        return fetch(cluster.namespace, f"http://{address}:{PORT}/health")[0] == 200

    cluster.until(is_back)
    cluster.begin_api()
    cluster.until(lambda: pods(cluster, space)[0]["status"]["containerStatuses"][0]["restartCount"] == 1)
