"""Kubernetes objects as plain dictionaries, and the names and labels that Penstock gives them. Pure.

Everything of one component carries the same two labels, and is selected by them. They never change, because a
Deployment's selector can't.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]

GROUP = "penstock.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
DEPLOYMENT_LABEL = f"{GROUP}/deployment"
COMPONENT_LABEL = f"{GROUP}/component"
ROLE_LABEL = f"{GROUP}/role"
PLANNER, KEDA_PORT = "penstock-planner", 6000
MANAGED_BY = "penstock-operator"
PLACEHOLDER_PRIORITY = "penstock-placeholder"  # a PriorityClass, installed with the operator
_LONGEST_NAME = 63  # of a Service, and of a label's value


def planner_address(namespace: str) -> str:
    """Where KEDA asks the planner that is installed in a namespace."""
    return f"{PLANNER}.{namespace}.svc:{KEDA_PORT}"


def object_name(*parts: str) -> str:
    """A name of these parts, at most 63 characters; a longer one is cut and ends in its hash, to stay unique."""
    name = "-".join(parts)
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def selector_labels(deployment: str, component: str) -> dict[str, str]:
    """What selects the pods of a component."""
    return {DEPLOYMENT_LABEL: deployment, COMPONENT_LABEL: component}


def common_labels(deployment: str, component: str | None = None) -> dict[str, str]:
    """The labels of every object that Penstock makes."""
    labels = {
        "app.kubernetes.io/name": "penstock",
        "app.kubernetes.io/instance": deployment,
        "app.kubernetes.io/managed-by": MANAGED_BY,
        DEPLOYMENT_LABEL: deployment,
    }
    if component is not None:
        labels |= {"app.kubernetes.io/component": component, COMPONENT_LABEL: component}
    return labels


def label_selector(labels: Mapping[str, str]) -> str:
    """As `status.selector` of the scale subresource has it: `a=b,c=d`."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def metadata(name: str, namespace: str, labels: Mapping[str, str]) -> Object:
    """Name, namespace and labels."""
    return {"name": name, "namespace": namespace, "labels": dict(labels)}
