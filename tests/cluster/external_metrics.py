"""External metrics of a test's own making, for the real HPA controller: values in a file, behind an APIService."""

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from control_plane import ControlPlane

PORT = 16500
NAME = "v1beta1.external.metrics.k8s.io"
SERVER = Path(__file__).with_name("metrics_server.py")


class ExternalMetrics:
    """Metric name to value; what is taken out has none."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.tell({})

    def tell(self, values: dict[str, float]) -> None:
        """From now on these, and no others."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(values))
        fresh.replace(self._file)


@contextmanager
def external_metrics(plane: ControlPlane) -> Iterator[ExternalMetrics]:
    """While it is there. It is taken away at the end: an API that does not answer keeps every namespace from going."""
    file = plane.folder / "external-metrics.json"
    metrics = ExternalMetrics(file)
    certificate, key = (str(plane.folder / f"apiserver.{kind}") for kind in ("crt", "key"))
    process = plane.namespace.start(
        [sys.executable, str(SERVER), certificate, key, str(PORT), str(file)], plane.folder / "external-metrics.log"
    )
    services = "/api/v1/namespaces/kube-system/services"
    registered = "/apis/apiregistration.k8s.io/v1/apiservices"
    # By name, not by address: addresses of the loopback are refused in EndpointSlices.
    port = {"name": "https", "port": PORT}
    spec = {"type": "ExternalName", "externalName": "localhost", "ports": [port]}
    plane.api.create(services, {"metadata": {"name": "external-metrics"}, "spec": spec})
    plane.api.create(registered, _api_service(plane.folder / "ca.crt"))
    try:
        plane.until(lambda: _is_available(plane.api.get(f"{registered}/{NAME}")))
        yield metrics
    finally:
        plane.api.delete(f"{registered}/{NAME}")
        plane.api.delete(f"{services}/external-metrics")
        process.kill()
        process.wait()


def _api_service(authority: Path) -> dict[str, Any]:
    return {
        "metadata": {"name": NAME},
        "spec": {
            "group": "external.metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": "external-metrics", "namespace": "kube-system", "port": PORT},
            "caBundle": base64.b64encode(authority.read_bytes()).decode(),
        },
    }


def _is_available(api_service: dict[str, Any]) -> bool:
    conditions = api_service.get("status", {}).get("conditions", ())
    return any(one["type"] == "Available" and one["status"] == "True" for one in conditions)
