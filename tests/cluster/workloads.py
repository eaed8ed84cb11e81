"""Objects that tests of the testbed apply, and what they look at."""

import sys
from pathlib import Path
from typing import Any

from api_client import fetch
from control_plane import ControlPlane

Thing = dict[str, Any]
PORT = 8000
CONTAINER_FIELDS = ("command", "lifecycle", "livenessProbe", "resources", "startupProbe", "volumeMounts")
SERVER = str(Path(__file__).with_name("small_server.py"))


def web(replicas: int = 2, version: str = "1", **template_spec: Any) -> Thing:
    """A Deployment `web` of small servers; arguments are fields of the container or, else, of the pod."""
    container: Thing = {
        "name": "main",
        "image": "small-server",
        "command": [sys.executable, SERVER, "$(POD_IP)", str(PORT), "$(POD_NAME)", version],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1, "failureThreshold": 60},
    }
    for field in set(template_spec) & set(CONTAINER_FIELDS):
        container[field] = template_spec.pop(field)
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container], **template_spec}},
        },
    }


def service() -> Thing:
    """A headless Service of them."""
    spec = {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"name": "http", "port": PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


def pods(plane: ControlPlane, space: str, selector: str = "app=web") -> list[Thing]:
    """Of a namespace."""
    return plane.api.items(f"/api/v1/namespaces/{space}/pods?labelSelector={selector}")


def ready_addresses(plane: ControlPlane, space: str) -> list[str]:
    """Of the Service, by its EndpointSlices."""
    slices = plane.api.items(f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices")
    endpoints = [endpoint for one in slices for endpoint in one["endpoints"] or ()]
    return [address for endpoint in endpoints if endpoint["conditions"]["ready"] for address in endpoint["addresses"]]


def answers(plane: ControlPlane, address: str) -> list[str]:
    """Name, version and process id, as the server at an address says. Raises: OSError."""
    status, said = fetch(plane.namespace, f"http://{address}:{PORT}/")
    assert status == 200
    return said.split()
