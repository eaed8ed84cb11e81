"""The custom resource definitions say what the spec's types say."""

from typing import Any

import pytest
from pydantic import ValidationError

import policy_corpus
from penstock.messages.policy_spec import PolicyBody
from penstock.messages.spec import DeploymentBody
from penstock.operator.crds import definitions
from penstock.operator.structural import structural_schema
from spec_corpus import RIGHT, WRONG


@pytest.mark.parametrize("name", RIGHT)
def test_types_take_what_is_right(name: str) -> None:
    """The corpus is what it says; the API server is held to the same in tests/cluster."""
    DeploymentBody.model_validate(RIGHT[name], by_alias=True, by_name=False)


@pytest.mark.parametrize("name", WRONG)
def test_types_refuse_what_is_wrong(name: str) -> None:
    with pytest.raises(ValidationError):
        DeploymentBody.model_validate(WRONG[name], by_alias=True, by_name=False)


@pytest.mark.parametrize("name", policy_corpus.RIGHT)
def test_types_take_policies_that_are_right(name: str) -> None:
    PolicyBody.model_validate(policy_corpus.RIGHT[name], by_alias=True, by_name=False)


@pytest.mark.parametrize("name", policy_corpus.WRONG)
def test_types_refuse_policies_that_are_wrong(name: str) -> None:
    with pytest.raises(ValidationError):
        PolicyBody.model_validate(policy_corpus.WRONG[name], by_alias=True, by_name=False)


def _walk(schema: dict[str, Any], path: str = "") -> "list[tuple[str, dict[str, Any]]]":
    found = [(path, schema)]
    for field, value in schema.get("properties", {}).items():
        found += _walk(value, f"{path}.{field}")
    for below in ("items", "additionalProperties"):
        if isinstance(schema.get(below), dict):
            found += _walk(schema[below], f"{path}[]")
    return found


def _schemas() -> "dict[str, dict[str, Any]]":
    found = {}
    for definition in definitions():
        kind = definition["spec"]["names"]["kind"]
        found |= {
            f"{kind}{path}": schema
            for path, schema in _walk(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        }
    return found


def test_every_part_is_structural() -> None:
    """Each part has one type, and nothing of JSON Schema that Kubernetes refuses."""
    for path, schema in _schemas().items():
        assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path
        assert not {"$ref", "anyOf", "oneOf", "const", "title", "discriminator"} & set(schema), path
        assert isinstance(schema.get("exclusiveMinimum", True), bool), path


def test_every_field_is_described() -> None:
    """`kubectl explain` says what each field does."""
    for path, schema in _schemas().items():
        if path.count(".") and not path.endswith("[]"):
            assert schema.get("description") or path.endswith((".spec", ".status")), path


def test_what_an_engine_does_not_state_stays_unstated() -> None:
    """A default inside `engine` would look like a statement, and its profile would no longer count."""
    for path, schema in _schemas().items():
        if ".engine." in path or ".autoscaling." in path:
            assert "default" not in schema, path


def test_an_empty_routing_gets_the_defaults_of_its_fields() -> None:
    routing = _schemas()["InferenceDeployment.spec.routing"]
    assert routing["default"] == {}
    assert routing["properties"]["policy"]["default"] == "kv"


def test_the_scale_of_a_pool_is_where_autoscalers_look() -> None:
    pool = next(made for made in definitions() if made["spec"]["names"]["kind"] == "ComponentPool")
    assert pool["spec"]["versions"][0]["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }


def test_alternatives_without_a_structural_form_are_refused_at_once() -> None:
    """Whoever adds such a field learns it from this test, and not from an API server."""
    from penstock.messages.fields import SpecModel

    class Odd(SpecModel):
        field: list[int] | str

    with pytest.raises(ValueError, match="different kinds"):
        structural_schema(Odd, {})
