"""An API that another server in the namespace serves, made part of the real one by an APIService."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from control_plane import ControlPlane

_REGISTRY = "/apis/apiregistration.k8s.io/v1/apiservices"


@contextmanager
def registered_api(
    plane: ControlPlane, version: str, group: str, service: str, namespace: str, port: int
) -> Iterator[None]:
    """While it is there, from when it answers. The server has a certificate of `ca` for `SERVICE.NAMESPACE.svc`.

    It is taken away at the end: an API that does not answer keeps every namespace from going. The server is reached by
    the name `localhost`, not by address, since addresses of the loopback are refused in EndpointSlices.
    """
    services = f"/api/v1/namespaces/{namespace}/services"
    name = f"{version}.{group}"
    spec = {"type": "ExternalName", "externalName": "localhost", "ports": [{"name": "https", "port": port}]}
    plane.api.create(services, {"metadata": {"name": service}, "spec": spec})
    backend = {"name": service, "namespace": namespace, "port": port}
    authority = base64.b64encode((plane.folder / "ca.crt").read_bytes()).decode()
    priorities = {"groupPriorityMinimum": 100, "versionPriority": 100}
    registration = {"group": group, "version": version, "service": backend, "caBundle": authority, **priorities}
    plane.api.create(_REGISTRY, {"metadata": {"name": name}, "spec": registration})
    try:
        plane.until(lambda: _is_available(plane.api.get(f"{_REGISTRY}/{name}")))
        yield
    finally:
        plane.api.delete(f"{_REGISTRY}/{name}")
        plane.api.delete(f"{services}/{service}")


def _is_available(registration: dict[str, Any]) -> bool:
    conditions = registration.get("status", {}).get("conditions", ())
    return any(one["type"] == "Available" and one["status"] == "True" for one in conditions)
