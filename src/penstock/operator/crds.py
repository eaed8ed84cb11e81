"""The custom resource definitions: `InferenceDeployment`, `ComponentPool`, `ScalingPolicy`, by the spec's types. Pure.

A ComponentPool has the scale subresource, so that an HPA, KEDA, `kubectl scale` or anybody's controller can own the
number of its pods.
"""

from typing import Any

from pydantic import BaseModel

from penstock.messages.policy_spec import PolicyBody
from penstock.messages.pool_spec import PoolBody
from penstock.messages.spec import DeploymentBody
from penstock.operator.objects import GROUP, VERSION, Object
from penstock.operator.rules import RULES
from penstock.operator.status import DeploymentStatus, PolicyStatus, PoolStatus
from penstock.operator.structural import structural_schema

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_NAME_RULE = {"rule": "self.metadata.name.size() <= 63", "message": "metadata.name: longer than 63; shorten it"}


def definitions() -> tuple[Object, ...]:
    """All definitions."""
    return (
        _definition(
            "InferenceDeployment",
            plural="inferencedeployments",
            short=["ifd"],
            description="A model served within latency targets: a frontend and pools of engines.",
            spec=DeploymentBody,
            status=DeploymentStatus,
            columns=[
                ("Model", "string", ".spec.model.name"),
                ("Ready", "string", ".status.ready"),
                ("Status", "string", ".status.conditions[?(@.type=='Ready')].reason"),
            ],
        ),
        _definition(
            "ComponentPool",
            plural="componentpools",
            short=["pool"],
            description="A pool of equal pods, which whoever owns its scale scales.",
            spec=PoolBody,
            status=PoolStatus,
            columns=[
                ("Role", "string", ".spec.component.role"),
                ("Scaled-by", "string", ".spec.component.autoscaling.by"),
                ("Desired", "integer", ".spec.replicas"),
                ("Ready", "integer", ".status.readyReplicas"),
                ("Status", "string", ".status.conditions[?(@.type=='Ready')].reason"),
            ],
            scale=True,
        ),
        _definition(
            "ScalingPolicy",
            plural="scalingpolicies",
            short=["spol"],
            description="The planner on something with a scale that others made, from its engines' own metrics.",
            spec=PolicyBody,
            status=PolicyStatus,
            columns=[
                ("Target", "string", ".spec.scaleTargetRef.name"),
                ("Mode", "string", ".spec.mode"),
                ("Current", "integer", ".status.current"),
                ("Desired", "integer", ".status.desired"),
                ("Status", "string", ".status.conditions[?(@.type=='Scaling')].reason"),
            ],
        ),
    )


def _definition(
    kind: str,
    *,
    plural: str,
    short: list[str],
    description: str,
    spec: type[BaseModel],
    status: type[BaseModel],
    columns: list[tuple[str, str, str]],
    scale: bool = False,
) -> Object:
    subresources: dict[str, Any] = {"status": {}}
    if scale:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": subresources,
        "additionalPrinterColumns": [
            *({"name": name, "type": of, "jsonPath": path} for name, of, path in columns),
            _AGE,
        ],
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": description,
                "required": ["spec"],
                "properties": {
                    "spec": structural_schema(spec, RULES),
                    "status": structural_schema(status, {}),
                },
                "x-kubernetes-validations": [_NAME_RULE],
            }
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": short,
                "categories": ["penstock"],
            },
            "versions": [version],
        },
    }
