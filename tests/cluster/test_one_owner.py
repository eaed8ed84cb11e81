"""One owner of a count, on a real control plane: what the webhook refuses, lets through, and what is said without it.

The operator runs with its own account. The API server reaches it by the name `localhost`, through the Service that the
configuration names (as `registered_api` has it). HPA controller and administrator share one user here.
"""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from api_client import ApiError
from control_plane import ControlPlane
from deployments import GROUP, apply, custom, deployment, worker
from running_operator import Running, as_account, install_accounts
from test_definitions import defined as defined

from penstock.operator.install import WEBHOOK_PORT, install_objects
from penstock.operator.settings import OperatorSettings
from penstock.operator.webhook.certificates import LASTS, RENEW_BEFORE, made
from penstock.operator.webhook.objects import CONFIGURATION, SECRET, SERVICE, server_names

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes

SCALED_OBJECTS = Path(__file__).with_name("scaled_objects.yaml")
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


@pytest.fixture
def guarded(defined: ControlPlane, space: str) -> Iterator[Running]:
    """An operator whose webhook the API server asks."""
    install_accounts(defined, space)
    spec = {"type": "ExternalName", "externalName": "localhost", "ports": [{"name": "https", "port": WEBHOOK_PORT}]}
    defined.api.create(f"/api/v1/namespaces/{space}/services", {"metadata": {"name": SERVICE}, "spec": spec})
    things = install_objects(OperatorSettings(), namespace=space)
    configuration = next(thing for thing in things if thing["kind"] == "ValidatingWebhookConfiguration")
    defined.api.create(CONFIGURATIONS, configuration)
    options = ("--lease-namespace", space, "--webhook-port", str(WEBHOOK_PORT), "--writer", "hpa=admin")
    running = Running(defined, space, *options, kubeconfig=as_account(defined, space, "penstock-operator"))
    try:
        yield running
    finally:
        running.kill()
        defined.api.delete(f"{CONFIGURATIONS}/{CONFIGURATION}")


def hpa(kind: str, name: str) -> dict[str, Any]:
    version = GROUP if kind == "ComponentPool" else "apps/v1"
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    target = {"apiVersion": version, "kind": kind, "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 9, "metrics": [cpu]}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "mine"},
        "spec": spec,
    }


@pytest.fixture
def scaled_objects(defined: ControlPlane) -> Iterator[None]:
    """While KEDA's definition is there."""
    defined.kubectl("apply", "--server-side", "-f", str(SCALED_OBJECTS))
    defined.kubectl("wait", "--for=condition=established", "crd/scaledobjects.keda.sh")
    yield
    defined.kubectl("delete", "-f", str(SCALED_OBJECTS))


def may(plane: ControlPlane, space: str, account: str, verb: str, resource: str) -> bool:
    """Whether an account may do something there."""
    identity = f"--as=system:serviceaccount:{space}:{account}"
    asked = [str(plane.program), "kubectl", f"--kubeconfig={plane.kubeconfig}", "-n", space, identity]
    return plane.namespace.run([*asked, "auth", "can-i", verb, resource], timeout_s=60).stdout.strip() == "yes"


def refused(plane: ControlPlane, space: str, *arguments: str, given: Any = None, user: str = "alice") -> str:
    """What the API server says to somebody who may do anything but for the webhook; empty, if it does it."""
    identity = [f"--as={user}", "--as-group=system:masters"]
    asked = [str(plane.program), "kubectl", f"--kubeconfig={plane.kubeconfig}", "-n", space, *identity, *arguments]
    return plane.namespace.run(asked, timeout_s=60, given=json.dumps(given) if given else "").stderr.strip()


def condition(thing: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(one for one in thing["status"]["conditions"] if one["type"] == kind)


def test_a_second_owner_is_refused_and_the_owner_is_not(
    defined: ControlPlane, scaled_objects: None, guarded: Running, space: str
) -> None:
    """By name, field, owner and fix, whoever it is; while the operator is away it is let in, and told afterwards."""
    by_hpa = {"by": "hpa", "max": 5, "cpuPercent": 70}
    components = [
        worker(name="planned", autoscaling={"by": "planner", "min": 1, "max": 4}),
        worker(name="hpad", autoscaling=by_hpa),
        worker(name="free", autoscaling={"by": "external"}),
    ]
    apply(defined, space, deployment(*components))

    def create(kind: str, name: str, *options: str) -> str:
        return refused(defined, space, "create", *options, "-f", "-", given=hpa(kind, name))

    for name in ("planned", "hpad", "free"):
        defined.until(lambda name=name: defined.api.get(f"/apis/apps/v1/namespaces/{space}/deployments/d-{name}"))
    message = defined.until(lambda: create("ComponentPool", "d-planned", "--dry-run=server"))
    assert message.endswith(
        "HorizontalPodAutoscaler mine: spec.scaleTargetRef: ComponentPool d-planned has an owner, autoscaling.by: "
        "planner; set autoscaling.by: external of component planned in InferenceDeployment d, or delete this "
        "HorizontalPodAutoscaler"
    )
    of_keda = {**hpa("ComponentPool", "d-planned"), "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject"}
    said = refused(defined, space, "create", "-f", "-", given=of_keda)
    assert "ScaledObject mine: spec.scaleTargetRef: ComponentPool d-planned has an owner" in said
    pool, below = "componentpool/d-planned", "deployment/d-planned"
    direct = json.dumps({"spec": {"replicas": 3}})
    by_planner = "for its owner is another, autoscaling.by: planner; change autoscaling.min or max"
    for said, part in (
        (create("Deployment", "d-planned"), "Deployment d-planned is written by ComponentPool d-planned alone"),
        (create("Deployment", "d-free"), "point to ComponentPool d-free and set autoscaling.by: external"),
        (create("ComponentPool", "d-hpad"), "ComponentPool d-hpad has an owner, autoscaling.by: hpa"),
        (refused(defined, space, "scale", pool, "--replicas=3"), f"alice may not write it, {by_planner}"),
        (refused(defined, space, "patch", pool, "--type=merge", "-p", direct), f"alice may not write it, {by_planner}"),
        (refused(defined, space, "scale", below, "--replicas=3"), f"scale the pool: kubectl scale {pool}"),
        (refused(defined, space, "patch", below, "-p", direct), f"scale the pool: kubectl scale {pool}"),
    ):
        assert part in said, said
    planner = f"system:serviceaccount:{space}:penstock-planner"
    assert refused(defined, space, "scale", pool, "--replicas=2", user=planner) == ""
    path = f"/apis/apps/v1/namespaces/{space}/deployments"
    defined.until(lambda: defined.api.get(f"{path}/d-planned")["spec"]["replicas"] == 2)
    # The operator's own HPA is there, and what it writes is let through; external is anybody's.
    components[1] = worker(name="hpad", autoscaling=by_hpa | {"min": 2})
    apply(defined, space, deployment(*components))
    defined.until(lambda: defined.api.get(f"{path}/d-hpad")["spec"]["replicas"] == 2)
    assert refused(defined, space, "scale", "componentpool/d-free", "--replicas=3") == ""
    assert create("ComponentPool", "d-free", "--dry-run=server") == ""
    assert "forbidden" not in guarded.log.read_text()

    guarded.kill()
    assert create("ComponentPool", "d-planned") == ""  # an outage of ours blocks nobody
    ends_soon = made(server_names(space), datetime.now(UTC) - LASTS + RENEW_BEFORE / 2)
    data = {"ca.crt": ends_soon.authorities, "tls.crt": ends_soon.certificate, "tls.key": ends_soon.key}
    secret = {"data": {field: base64.b64encode(pem).decode() for field, pem in data.items()}}
    defined.api.patch(f"/api/v1/namespaces/{space}/secrets/{SECRET}", secret)
    defined.api.delete(f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases/penstock-operator")  # else 15 s
    guarded.begin()

    def pool_now() -> dict[str, Any]:
        return custom(defined, space, "componentpools", "d-planned")

    defined.until(lambda: condition(pool_now(), "Degraded")["status"] == "True")
    sentence = condition(pool_now(), "Degraded")["message"]
    assert sentence.startswith(
        "HorizontalPodAutoscaler mine: spec.scaleTargetRef: ComponentPool d-planned has an owner"
    )
    events = f"/api/v1/namespaces/{space}/events"
    told = [one["message"] for one in defined.api.items(events) if one["reason"] == "SecondOwner"]
    assert told == [sentence]
    elsewhere = json.dumps({"spec": {"scaleTargetRef": {"name": "d-free"}}})
    defined.kubectl("-n", space, "patch", "hpa", "mine", "--type=merge", "-p", elsewhere)
    defined.until(lambda: condition(pool_now(), "Degraded")["status"] == "False")
    defined.kubectl("-n", space, "delete", "hpa", "mine")
    with pytest.raises(ApiError):
        defined.api.get(f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/mine")
    # Its certificate was about to end, and was made anew; the authority of before is trusted beside the new one.
    defined.until(lambda: create("ComponentPool", "d-planned", "--dry-run=server"))
    bundle = defined.api.get(f"{CONFIGURATIONS}/{CONFIGURATION}")["webhooks"][0]["clientConfig"]["caBundle"]
    assert base64.b64decode(bundle).count(b"BEGIN CERTIFICATE") == 2
    assert may(defined, space, "penstock-operator", "create", "secrets")
    for account, verb, resource in (
        ("penstock-operator", "list", "secrets"),
        ("penstock-operator", "get", "secrets"),
        ("penstock-operator", "patch", "validatingwebhookconfigurations"),
        ("penstock-operator", "patch", "scalingpolicies.penstock.dev"),
        ("penstock-planner", "patch", "scalingpolicies.penstock.dev"),
        ("penstock-planner", "patch", "deployments.apps/scale"),
    ):
        assert not may(defined, space, account, verb, resource), (account, verb, resource)
    assert "forbidden" not in guarded.log.read_text()
