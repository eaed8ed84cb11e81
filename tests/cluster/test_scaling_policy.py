"""ScalingPolicies on a real control plane: the planner scales what others made, from their own metrics."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from api_client import fetch
from control_plane import ControlPlane
from deployments import GROUP, NODE, PENSTOCK, apply, custom
from machine_set import MachineSet
from running_operator import Running, as_account, planner
from test_definitions import defined as defined
from test_one_owner import condition, hpa, refused
from test_one_owner import guarded as guarded

from penstock.messages.policy_spec import ScalingPolicy
from penstock.operator.install import METRICS_PORT, policy_rights

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes

Thing = dict[str, Any]
DYNAMO = Path(__file__).with_name("dynamo.yaml")
DYNAMO_METRICS = str(Path(__file__).with_name("dynamo_metrics.py"))
ENGINE = {
    "stepTime": {"baseSeconds": 0.02, "prefillTokenSeconds": 4e-4},
    "startup": {"coldSeconds": 2, "warmSeconds": 2},
}
SLOW = ["--base-s", "0.02", "--prefill-token-s", "4e-4"]


def of_others(name: str, port: int, **container: Any) -> Thing:
    """A Deployment of one pod, of which nothing of ours knows."""
    made = {
        "name": "main",
        "image": "penstock",
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "readinessProbe": {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 1},
        **container,
    }
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [made]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def llama() -> Thing:
    """Engines that say what vLLM says."""
    own = "$(POD_IP)"
    args = ["worker", "--id", "$(POD_NAME)", "--role", "worker", "--model", "m", "--host", own, "--port", "8000", *SLOW]
    return of_others("llama", 8000, args=args)


def of_dynamo(part: str, port: int) -> Thing:
    """A process that says what Dynamo says."""
    return of_others(part, port, command=[sys.executable, DYNAMO_METRICS, "$(POD_IP)", str(port), part])


def policy(target: Thing, metrics: Thing, *, mode: str, **autoscaling: Any) -> Thing:
    by_planner = {"by": "planner", "min": 1, "max": 2, "coolInSeconds": 5, "intervalSeconds": 2}
    spec = {
        "scaleTargetRef": target,
        "mode": mode,
        "metrics": metrics,
        "slo": {"ttftSeconds": 0.5, "itlSeconds": 0.05},
        "engine": ENGINE,
        "autoscaling": by_planner | autoscaling,
    }
    return {"apiVersion": GROUP, "kind": "ScalingPolicy", "metadata": {"name": "p"}, "spec": spec}


def grant(plane: ControlPlane, space: str, thing: Thing) -> None:
    """What `penstock render` prints for the policy."""
    for made in policy_rights(ScalingPolicy.model_validate(thing), namespace=space, planner_namespace=space):
        apply(plane, space, made)


@contextmanager
def planning(plane: ControlPlane, space: str) -> Iterator[Path]:
    """A planner with its own account. Yields: its log."""
    options = ("--metrics-port", str(METRICS_PORT), "--out", str(plane.folder / f"out-{space}"))
    with planner(plane, space, *options, kubeconfig=as_account(plane, space, "penstock-planner")) as log:
        yield log


def status(plane: ControlPlane, space: str, kind: str) -> Thing:
    """A condition of the policy. Raises: LookupError, before there is one."""
    return condition(custom(plane, space, "scalingpolicies", "p"), kind)


def events(plane: ControlPlane, space: str, reason: str) -> list[str]:
    found = plane.api.items(f"/api/v1/namespaces/{space}/events")
    return [one["message"] for one in found if one["reason"] == reason]


def load(plane: ControlPlane, space: str, requests: int) -> "subprocess.Popen[bytes]":
    """Six requests a second, straight to the one pod that there is."""
    pods = plane.api.items(f"/api/v1/namespaces/{space}/pods?labelSelector=app=llama")
    url = f"http://{pods[0]['status']['podIP']}:8000"
    trace = plane.folder / f"{space}.jsonl"
    lines = (
        json.dumps({"arrival_s": number / 6, "input_tokens": 300, "output_tokens": 20}) for number in range(requests)
    )
    trace.write_text("\n".join(lines) + "\n")
    return plane.namespace.start([*PENSTOCK, "load", url, "--trace", str(trace)], plane.folder / f"load-{space}.log")


def test_a_deployment_of_others_is_advised_then_scaled_and_has_one_owner(
    defined: ControlPlane, machines: Callable[..., MachineSet], guarded: Running, space: str
) -> None:
    """From vLLM's names, without a gateway of ours; first nothing is written, and a second owner is refused."""
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    apply(defined, space, llama())
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"}
    advice = policy(target, {"source": "vllm"}, mode="advise")
    apply(defined, space, advice)
    path = f"/apis/apps/v1/namespaces/{space}/deployments/llama"

    def replicas() -> int:
        return int(defined.api.get(path)["spec"]["replicas"])

    with planning(defined, space):
        # Nobody granted it the scale yet, which the status says with what to do.
        defined.until(lambda: "penstock render" in status(defined, space, "Degraded")["message"])
        grant(defined, space, advice)
        defined.until(lambda: status(defined, space, "Ready")["status"] == "True", 90)
        loading = load(defined, space, 120)
        try:
            message = defined.until(lambda: events(defined, space, "Advised"), 90)[0]
            assert message.startswith("would scale Deployment llama from 1 to ")
            assert replicas() == 1
            told = fetch(defined.namespace, f"http://127.0.0.1:{METRICS_PORT}/metrics")[1]
            labels = f'component="p",name="scalingpolicies/p",namespace="{space}"'
            assert f"penstock_planner_wanted_replicas{{{labels}}} 2.0" in told
            assert f"penstock_planner_desired_replicas{{{labels}}} 1.0" in told
            assert status(defined, space, "Scaling")["reason"] == "Advising"
            assert events(defined, space, "Scaled") == []
            owner = policy(target, {"source": "vllm"}, mode="owner")
            grant(defined, space, owner)
            apply(defined, space, owner)
            defined.until(lambda: replicas() >= 2, 90)
            assert all("one replica holds" in message for message in events(defined, space, "Scaled"))
            said = defined.until(
                lambda: refused(
                    defined, space, "create", "--dry-run=server", "-f", "-", given=hpa("Deployment", "llama")
                )
            )
            assert "HorizontalPodAutoscaler mine: spec.scaleTargetRef: Deployment llama is scaled by" in said
            assert "set mode: advise in ScalingPolicy p, or delete one of the two" in said
            said = refused(defined, space, "scale", "deployment/llama", "--replicas=9")
            assert "alice may not write it, for ScalingPolicy p owns it" in said
            defined.until(lambda: loading.poll() is not None, 120)
            defined.until(lambda: replicas() == 1, 120)
        finally:
            loading.kill()
            loading.wait()
        # One that came while nobody asked the webhook: the planner stands back for it.
        guarded.kill()
        assert refused(defined, space, "create", "-f", "-", given=hpa("Deployment", "llama")) == ""
        defined.api.delete(f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases/penstock-operator")  # else 15 s
        guarded.begin()
        defined.until(lambda: status(defined, space, "Scaling")["reason"] == "SecondOwner")
        assert "HorizontalPodAutoscaler mine already" in status(defined, space, "Degraded")["message"]
        defined.kubectl("-n", space, "delete", "hpa", "mine")
        defined.until(lambda: status(defined, space, "Scaling")["status"] == "True")
    decisions = defined.folder / f"out-{space}" / space / "scalingpolicies" / "p" / "decisions.jsonl"
    explained = subprocess.run([*PENSTOCK, "explain", str(decisions)], capture_output=True, text=True, timeout=60)
    assert "scaling from 1 to 2" in explained.stdout, explained.stderr
    log = (defined.folder / f"planner-{space}.log").read_text()
    assert "ERROR" not in log, log[-3000:]
    assert "forbidden" not in log, log[-3000:]
    assert "forbidden" not in guarded.log.read_text()


@pytest.fixture
def dynamo(defined: ControlPlane) -> Iterator[ControlPlane]:
    """With Dynamo's definition."""
    defined.kubectl("apply", "--server-side", "-f", str(DYNAMO))
    defined.kubectl("wait", "--for=condition=established", "crd/dynamographdeploymentscalingadapters.nvidia.com")
    yield defined
    defined.kubectl("delete", "-f", str(DYNAMO))


def test_a_service_of_dynamo_is_advised_then_scaled_through_its_adapter(
    dynamo: ControlPlane, machines: Callable[..., MachineSet], guarded: Running, space: str
) -> None:
    """Demand and latencies by its frontends, the rest by its workers; Dynamo's operator is not here to follow."""
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    for part, port in (("frontend", 8000), ("worker", 9090)):
        apply(dynamo, space, of_dynamo(part, port))
    target = {"apiVersion": "nvidia.com/v1alpha1", "kind": "DynamoGraphDeploymentScalingAdapter", "name": "g-worker"}
    adapters = f"/apis/nvidia.com/v1alpha1/namespaces/{space}/dynamographdeploymentscalingadapters"
    body = {"replicas": 1, "dgdRef": {"name": "g", "serviceName": "Worker"}}
    dynamo.api.create(adapters, {**target, "metadata": {"name": "g-worker"}, "spec": body})
    dynamo.api.patch(f"{adapters}/g-worker/status", {"status": {"replicas": 1, "selector": "app=worker"}})

    def replicas() -> int:
        return int(dynamo.api.get(f"{adapters}/g-worker")["spec"]["replicas"])

    metrics = {"source": "dynamo", "port": 9090, "frontend": {"selector": {"app": "frontend"}, "port": 8000}}
    advice, owner = (policy(target, metrics, mode=mode) for mode in ("advise", "owner"))
    grant(dynamo, space, owner)
    apply(dynamo, space, advice)
    with planning(dynamo, space):
        message = dynamo.until(lambda: events(dynamo, space, "Advised"), 90)[0]
        assert message.startswith("would scale DynamoGraphDeploymentScalingAdapter g-worker from 1 to 2: ")
        assert replicas() == 1
        apply(dynamo, space, owner)
        dynamo.until(lambda: replicas() == 2, 90)
        scaler = hpa("DynamoGraphDeploymentScalingAdapter", "g-worker")
        scaler["spec"]["scaleTargetRef"] = target
        said = dynamo.until(lambda: refused(dynamo, space, "create", "--dry-run=server", "-f", "-", given=scaler))
        assert "DynamoGraphDeploymentScalingAdapter g-worker is scaled by ScalingPolicy p already" in said
        said = refused(dynamo, space, "scale", "dgdsa/g-worker", "--replicas=9")
        assert "alice may not write it, for ScalingPolicy p owns it" in said
        dynamo.until(lambda: replicas() == 1, 120)
