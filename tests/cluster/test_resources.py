"""Penstock's custom resources on the real API server: it takes and refuses what the spec's own types do."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from api_client import ApiError
from control_plane import ControlPlane

from penstock.operator.crds import definitions
from spec_corpus import RIGHT, WRONG

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

NOT_HERE = {"monitoring.coreos.com", "keda.sh"}  # groups of other operators, whose definitions are not installed
TAKEN = {"an environment of numbers"}  # the schema says nothing of an environment's values yet
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def refusal(cluster: ControlPlane) -> Callable[[object], str]:
    """Why the API server refuses an InferenceDeployment of a spec; nothing, if it takes it. Nothing is stored."""
    apply_definitions(cluster)
    path = "/apis/penstock.dev/v1alpha1/namespaces/default/inferencedeployments?dryRun=All&fieldValidation=Strict"

    def ask(spec: object) -> str:
        head = {"apiVersion": "penstock.dev/v1alpha1", "kind": "InferenceDeployment", "metadata": {"name": "d"}}
        try:
            cluster.api.create(path, {**head, "spec": spec})
        except ApiError as error:
            if error.code not in (400, 422):
                raise
            return str(error)
        return ""

    return ask


def apply_definitions(cluster: ControlPlane) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": definitions()}
    cluster.kubectl("apply", "--server-side", "-f", "-", given=json.dumps(items))
    cluster.kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=60s")


def test_the_api_server_takes_what_the_types_take(refusal: Callable[[object], str]) -> None:
    """Of the corpus, and every example."""
    assert {name: why for name, spec in RIGHT.items() if (why := refusal(spec))} == {}


def test_the_api_server_refuses_what_the_types_refuse(refusal: Callable[[object], str]) -> None:
    """Each for one fault."""
    assert {name for name, spec in WRONG.items() if not refusal(spec)} == TAKEN


def test_rendered_examples_are_taken(cluster: ControlPlane, refusal: Callable[[object], str]) -> None:
    """`penstock render` of every example: by the API server's own schemas, with unknown fields refused."""
    rendered = 0
    for example in sorted(EXAMPLES.glob("*.yaml")):
        penstock = [sys.executable, "-m", "penstock.cli.program", "render", str(example), "--json"]
        made = cluster.namespace.run(penstock, timeout_s=60)
        assert made.returncode == 0, f"{example.name}: {made.stderr}"
        items = [one for one in json.loads(made.stdout) if one["apiVersion"].partition("/")[0] not in NOT_HERE]
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        said = cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", given=given)
        rendered += len(said.splitlines())
    assert rendered > len(list(EXAMPLES.glob("*.yaml")))
