"""Real KEDA beside the control plane: its operator and its metrics adapter. It takes ten minutes to compile, once.

Its CRDs stay when it is gone, as with any operator. Certificates are ours: its own rotation writes a Secret and exits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certificates import make_certificate
from control_plane import ControlPlane
from registered_api import registered_api

from go_program import go_program, module_folder

SOURCE = Path(__file__).parent / "go" / "keda"
MODULE = "github.com/kedacore/keda/v2"
API_PORT, OPERATOR_PORT, METRICS_PORT, HEALTH_PORT, ADAPTER_METRICS_PORT = 16444, 16666, 16080, 16081, 16082
NAMESPACE, ADAPTER = "keda", "keda-metrics-apiserver"


@contextmanager
def real_keda(plane: ControlPlane) -> Iterator[None]:
    """While it is there, from when the HPA controller can read its metrics."""
    operator, adapter = (go_program(SOURCE, f"{MODULE}/cmd/{command}") for command in ("operator", "adapter"))
    plane.kubectl("apply", "--server-side", "-f", str(module_folder(SOURCE, MODULE) / "config" / "crd" / "bases"))
    plane.kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=60s")
    plane.kubectl("apply", "-f", "-", given=f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}")
    folder = _certificates(plane)
    environment = {
        "KUBECONFIG": str(plane.kubeconfig),
        "WATCH_NAMESPACE": "",  # has to be set; empty is all
        "POD_NAMESPACE": NAMESPACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE,  # else it looks for a file that only pods have
    }
    kubeconfigs = [
        f"--{flag}={plane.kubeconfig}"
        for flag in ("lister-kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    ]
    of_operator = [
        str(operator),
        "--leader-elect=false",
        "--enable-cert-rotation=false",
        f"--cert-dir={folder}",
        f"--metrics-service-bind-address=127.0.0.1:{OPERATOR_PORT}",
        f"--metrics-bind-address=127.0.0.1:{METRICS_PORT}",
        f"--health-probe-bind-address=127.0.0.1:{HEALTH_PORT}",
    ]
    of_adapter = [
        str(adapter),
        *kubeconfigs,
        f"--secure-port={API_PORT}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={folder}",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--tls-cert-file={folder / 'tls.crt'}",
        f"--tls-private-key-file={folder / 'tls.key'}",
        f"--metrics-service-address=localhost:{OPERATOR_PORT}",
        f"--port={ADAPTER_METRICS_PORT}",
    ]
    processes = [
        plane.namespace.start(arguments, plane.folder / f"keda-{name}.log", environment)
        for name, arguments in (("operator", of_operator), ("adapter", of_adapter))
    ]
    try:
        with registered_api(plane, "v1beta1", "external.metrics.k8s.io", ADAPTER, NAMESPACE, API_PORT):
            yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _certificates(plane: ControlPlane) -> Path:
    """One certificate for both, in the directory that they expect: their gRPC is mutual TLS."""
    names = ("localhost", f"{ADAPTER}.{NAMESPACE}.svc", f"keda-operator.{NAMESPACE}.svc")
    make_certificate(plane.folder, "keda", ",".join(["IP:127.0.0.1", *(f"DNS:{name}" for name in names)]))
    folder = plane.folder / "keda-certificates"
    folder.mkdir(exist_ok=True)
    for made, expected in (("ca.crt", "ca.crt"), ("keda.crt", "tls.crt"), ("keda.key", "tls.key")):
        (folder / expected).write_bytes((plane.folder / made).read_bytes())
    return folder
