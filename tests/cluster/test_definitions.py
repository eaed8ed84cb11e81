"""Our custom resources on a real API server: it takes what types take, refuses what they refuse, and scales pools."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from api_client import ApiError
from control_plane import ControlPlane

import policy_corpus
from penstock.kubernetes.plural import plural_of
from penstock.messages.policy_spec import PolicyBody
from penstock.messages.pool_spec import PoolBody
from penstock.messages.spec import DeploymentBody, InferenceDeployment, Metadata
from penstock.operator.crds import definitions
from penstock.operator.render import rendered
from penstock.operator.settings import OperatorSettings
from spec_corpus import RIGHT, WRONG

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes

GROUP = "penstock.dev/v1alpha1"


@pytest.fixture(scope="module")
def defined(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with our definitions, as `penstock render --for crds` prints them."""
    things = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(definitions())})
    cluster.kubectl("apply", "--server-side", "-f", "-", given=things)
    for made in definitions():
        cluster.kubectl("wait", "--for=condition=established", f"crd/{made['metadata']['name']}")
    yield cluster
    for made in definitions():
        cluster.kubectl("delete", f"crd/{made['metadata']['name']}")


def create(plane: ControlPlane, space: str, spec: Any, kind: str = "InferenceDeployment") -> dict[str, Any]:
    """Create one, as strictly as kubectl does, and not for good."""
    path = f"/apis/{GROUP}/namespaces/{space}/{plural_of(kind)}?fieldValidation=Strict&dryRun=All"
    return plane.api.create(path, {"apiVersion": GROUP, "kind": kind, "metadata": {"name": "d"}, "spec": spec})


def test_definitions_are_structural(defined: ControlPlane) -> None:
    """The API server says so itself, of each."""
    for made in definitions():
        found = defined.api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{made['metadata']['name']}")
        conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
        assert conditions["NamesAccepted"] == conditions["Established"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"


KINDS = {"InferenceDeployment": (RIGHT, WRONG), "ScalingPolicy": (policy_corpus.RIGHT, policy_corpus.WRONG)}


def test_what_the_types_take_is_taken(defined: ControlPlane, space: str) -> None:
    for kind, (right, _) in KINDS.items():
        for name, spec in right.items():
            try:
                create(defined, space, spec, kind)
            except ApiError as error:
                pytest.fail(f"{kind}, {name}: {error}")


def test_what_the_types_refuse_is_refused(defined: ControlPlane, space: str) -> None:
    for kind, (_, wrong) in KINDS.items():
        for name, spec in wrong.items():
            with pytest.raises(ApiError) as refused:
                pytest.fail(f"{kind}, {name} was taken: {create(defined, space, spec, kind)}")
            assert refused.value.code in (400, 422), f"{kind}, {name}: {refused.value}"


def test_what_comes_back_means_what_was_given(defined: ControlPlane, space: str) -> None:
    """Defaults of the API server change nothing of what the file says; a stated engine stays the only statement."""
    for name, spec in RIGHT.items():
        kept = create(defined, space, spec)["spec"]
        assert DeploymentBody.model_validate(kept, by_alias=True, by_name=False) == DeploymentBody.model_validate(
            spec, by_alias=True, by_name=False
        ), name
        for before, after in zip(spec["components"], kept["components"], strict=True):
            assert after.get("engine") == before.get("engine"), name
    for name, spec in policy_corpus.RIGHT.items():
        kept = create(defined, space, spec, "ScalingPolicy")["spec"]
        assert kept.get("engine") == spec.get("engine"), name
        assert PolicyBody.model_validate(kept, by_alias=True, by_name=False) == PolicyBody.model_validate(
            spec, by_alias=True, by_name=False
        ), name


def test_everything_that_is_rendered_is_taken(defined: ControlPlane, space: str) -> None:
    """By the schemas of a real API server; monitors and ScaledObjects are of others, who are not here."""
    for name in sorted(RIGHT.keys() - {"warm nodes by the planner"}):
        spec = RIGHT[name]
        body = DeploymentBody.model_validate(spec, by_alias=True, by_name=False)
        deployment = InferenceDeployment(
            api_version=GROUP, kind="InferenceDeployment", metadata=Metadata(name="d"), spec=body
        )
        objects = rendered(deployment, space, OperatorSettings(monitors=None))
        known = [made for made in objects if made["kind"] != "ScaledObject"]
        things = json.dumps({"apiVersion": "v1", "kind": "List", "items": known})
        said = defined.kubectl(
            "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", given=things
        )
        assert said.count("serverside-applied") == len(known), name


def test_a_pool_is_scaled_through_its_subresource(defined: ControlPlane, space: str) -> None:
    """As `kubectl scale`, an HPA and KEDA do it; its status says what there is."""
    objects = rendered(
        InferenceDeployment(
            api_version=GROUP,
            kind="InferenceDeployment",
            metadata=Metadata(name="d"),
            spec=DeploymentBody.model_validate(RIGHT["external"], by_alias=True, by_name=False),
        ),
        space,
        OperatorSettings(monitors=None),
    )
    pool = next(made for made in objects if made["kind"] == "ComponentPool")
    path = f"/apis/{GROUP}/namespaces/{space}/componentpools"
    defined.api.create(f"{path}?fieldValidation=Strict", pool)
    defined.api.patch(f"{path}/d-worker/status", {"status": {"replicas": 1, "selector": "a=b"}})
    defined.kubectl("-n", space, "scale", "componentpool/d-worker", "--replicas=3")
    kept = defined.api.get(f"{path}/d-worker")
    assert PoolBody.model_validate(kept["spec"], by_alias=True, by_name=False).wanted == 3
    scale = defined.api.get(f"{path}/d-worker/scale")
    assert scale["status"] == {"replicas": 1, "selector": "a=b"}
    assert "d-worker" in defined.kubectl("-n", space, "get", "pool", "-o", "wide")
