"""External and resource metrics of a test's own making, for the real HPA controller: values behind APIServices."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certificates import make_certificate
from control_plane import ControlPlane
from registered_api import registered_api

PORT = 16500
NAME, NAMESPACE = "external-metrics", "kube-system"
RESOURCE_NAME = "resource-metrics"
SERVER = Path(__file__).with_name("metrics_server.py")


class ExternalMetrics:
    """Keys (`metrics_server.py`) to values; what is taken out has none."""

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
    """While it is there."""
    file = plane.folder / "external-metrics.json"
    metrics = ExternalMetrics(file)
    make_certificate(plane.folder, NAME, f"DNS:{NAME}.{NAMESPACE}.svc,DNS:{RESOURCE_NAME}.{NAMESPACE}.svc")
    certificate, key = (str(plane.folder / f"{NAME}.{kind}") for kind in ("crt", "key"))
    process = plane.namespace.start(
        [sys.executable, str(SERVER), certificate, key, str(PORT), str(file)], plane.folder / f"{NAME}.log"
    )
    try:
        with (
            registered_api(plane, "v1beta1", "external.metrics.k8s.io", NAME, NAMESPACE, PORT),
            registered_api(plane, "v1beta1", "metrics.k8s.io", RESOURCE_NAME, NAMESPACE, PORT),
        ):
            yield metrics
    finally:
        process.kill()
        process.wait()
