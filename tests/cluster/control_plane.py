"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler as plain processes in a namespace of their own.

Real API, RBAC, admission, garbage collection, Deployments, EndpointSlices, scheduling and HPA. Not there: kube-proxy
(service addresses do not answer), DNS, logs, exec. A node is what `machines.py` makes. All of it lies in one throw-away
directory; ports are fixed, since the namespace is its own. At the end all is killed: a graceful stop takes up to 40 s
and keeps what nobody will read.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from api_client import Api, ApiError, fetch
from audit import POLICY
from certificates import make_certificates
from namespace import Namespace

from go_program import go_program

SOURCE = Path(__file__).parent / "go" / "kubernetes"
ETCD_PORT, API_PORT, CONTROLLERS_PORT, SCHEDULER_PORT = 12379, 16443, 10257, 10259
TOKEN = "testbed-admin"
START_S = 120.0  # seconds that one of them may take to be ready; 4 on a quiet machine
HPA_SYNC_S = 2
HPA_DOWN_WINDOW_S = 20  # of HPAs that do not say it
Found = TypeVar("Found")


class ControlPlane:
    """One control plane, from `begin` to `end`."""

    def __init__(self, folder: Path) -> None:
        """Build the program, where it is not there yet, and make the namespace."""
        self.program = go_program(SOURCE)
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.audit_log = folder / "audit.jsonl"
        self.namespace = Namespace(folder)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        make_certificates(folder)
        (folder / "tokens").write_text(f"{TOKEN},admin,1,system:masters\n")
        self.kubeconfig.write_text(_kubeconfig(folder / "ca.crt"))
        self.api = Api(self.namespace, API_PORT, folder / "ca.crt", TOKEN)

    @classmethod
    def begin(cls, folder: Path, resources: Sequence[Path] = ()) -> Self:
        """Start all, and wait until all are ready.

        Args:
            resources: manifests to be there before the controllers: the HPA controller takes up to 30 s to know a CRD
                that is made after it began.
        """
        plane = cls(folder)
        try:
            plane.begin_store()
            plane.begin_api()
            for manifest in resources:
                plane.kubectl("apply", "--server-side", "-f", str(manifest))
            if resources:
                plane.kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=60s")
            plane.begin_controllers()
        except BaseException:
            plane.end()
            raise
        return plane

    def begin_store(self) -> None:
        """Start etcd."""
        client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PORT + 1}"
        self._start(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )
        self._until_ready("etcd", lambda: fetch(self.namespace, client + "/health")[0] == 200)

    def begin_api(self) -> None:
        """Start the API server; also after `stop("kube-apiserver")`."""
        file = self.folder.joinpath
        file("audit-policy.yaml").write_text(POLICY)
        self._start(
            "kube-apiserver",
            f"--audit-policy-file={file('audit-policy.yaml')}",
            f"--audit-log-path={self.audit_log}",
            f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
            f"--secure-port={API_PORT}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={file('apiserver.crt')}",
            f"--tls-private-key-file={file('apiserver.key')}",
            f"--client-ca-file={file('ca.crt')}",
            f"--service-account-key-file={file('sa.pub')}",
            f"--service-account-signing-key-file={file('sa.key')}",
            "--service-account-issuer=https://kubernetes.default",
            f"--token-auth-file={file('tokens')}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--allow-privileged",
            "--disable-admission-plugins=ServiceAccount",
            f"--requestheader-client-ca-file={file('front.crt')}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={file('proxy.crt')}",
            f"--proxy-client-key-file={file('proxy.key')}",
        )
        self._until_ready("kube-apiserver", lambda: self.api.get("/readyz").get("code") == 200)

    def begin_controllers(self) -> None:
        """Start controller manager and scheduler."""
        kubeconfigs = [
            f"--{flag}={self.kubeconfig}"
            for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        ]
        same = [*kubeconfigs, "--leader-elect=false", "--bind-address=127.0.0.1"]
        self._start(
            "kube-controller-manager",
            *same,
            "--controllers=*,-node-ipam-controller",
            f"--service-account-private-key-file={self.folder / 'sa.key'}",
            f"--root-ca-file={self.folder / 'ca.crt'}",
            f"--secure-port={CONTROLLERS_PORT}",
            f"--horizontal-pod-autoscaler-sync-period={HPA_SYNC_S}s",
            f"--horizontal-pod-autoscaler-downscale-stabilization={HPA_DOWN_WINDOW_S}s",
        )
        self._start("kube-scheduler", *same, f"--secure-port={SCHEDULER_PORT}")
        for name, port in (("kube-controller-manager", CONTROLLERS_PORT), ("kube-scheduler", SCHEDULER_PORT)):
            self._until_ready(name, lambda port=port: self.namespace.connect("127.0.0.1", port, 5).close() is None)
        self.until(lambda: self.api.items("/api/v1/namespaces/default/serviceaccounts"), START_S)  # it reconciles

    def kubectl(self, *arguments: str, given: str = "", timeout_s: float = 90.0) -> str:
        """Run kubectl as an administrator. Returns: what it printed; fails with what it complained of."""
        kubectl = [str(self.program), "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        ran = self.namespace.run(kubectl, timeout_s=timeout_s, given=given)
        assert ran.returncode == 0, f"kubectl {' '.join(arguments)}: {ran.stderr.strip()}"
        return ran.stdout

    def stop(self, name: str) -> None:
        """Kill one of them."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """One of them neither answers nor hangs up: what is sent to it waits."""
        process = self._processes[name]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill all, those that depend on others first."""
        for name in reversed(list(self._processes)):
            self.stop(name)
        self.namespace.close()

    def until(self, holds: Callable[[], Found], within_s: float = 60.0) -> Found:
        """Wait until it holds, or returns something; what is not reached yet does not hold. Fails after `within_s`."""
        deadline = time.monotonic() + within_s
        problem: BaseException | None = None
        while time.monotonic() < deadline:
            try:
                if found := holds():
                    return found
            except (OSError, LookupError, ApiError) as error:
                problem = error
            self._check_alive()
            time.sleep(0.1)
        raise AssertionError(f"not within {within_s:.0f} s (last problem: {problem!r}); logs in {self.folder}")

    def memory_mib(self) -> dict[str, float]:
        """Resident memory of each process."""
        return {name: _resident_mib(process.pid) for name, process in self._processes.items()}

    def _start(self, name: str, *arguments: str) -> None:
        self._processes[name] = self.namespace.start([str(self.program), name, *arguments], self.folder / f"{name}.log")

    def _until_ready(self, name: str, is_ready: Callable[[], bool]) -> None:
        self.until(is_ready, START_S)

    def _check_alive(self) -> None:
        for name, process in self._processes.items():
            assert process.poll() is None, f"{name} ended: {(self.folder / f'{name}.log').read_text()[-2000:]}"


def _kubeconfig(authority: Path) -> str:
    return f"""apiVersion: v1
kind: Config
current-context: testbed
clusters: [{{name: testbed, cluster: {{server: "https://127.0.0.1:{API_PORT}", certificate-authority: "{authority}"}}}}]
users: [{{name: admin, user: {{token: "{TOKEN}"}}}}]
contexts: [{{name: testbed, context: {{cluster: testbed, user: admin}}}}]
"""


def _resident_mib(pid: int) -> float:
    lines: dict[str, Any] = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return int(lines["VmRSS"].split()[0]) / 1024
