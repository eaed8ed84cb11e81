"""Operator and planner as processes beside the control plane, and the identities that they and others run with."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from control_plane import ControlPlane
from deployments import PENSTOCK

from penstock.operator.install import install_objects
from penstock.operator.settings import OperatorSettings


class Running:
    """An operator process in the control plane's network namespace."""

    def __init__(self, plane: ControlPlane, space: str, *options: str, kubeconfig: Path | None = None) -> None:
        self._plane, self._space, self._options = plane, space, options
        self._kubeconfig = kubeconfig or plane.kubeconfig
        self._number = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.begin()

    def begin(self) -> None:
        self._number += 1
        self.log = self._plane.folder / f"operator-{self._space}-{self._number}.log"
        options = ["--namespace", self._space, "--image", "penstock", "--monitors", "none", *self._options]
        self.process = self._plane.namespace.start(
            ["env", f"KUBECONFIG={self._kubeconfig}", *PENSTOCK, "operator", *options], self.log
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextmanager
def planner(plane: ControlPlane, space: str, *options: str, kubeconfig: Path | None = None) -> Iterator[Path]:
    """A planner of one namespace. Yields: its log."""
    log = plane.folder / f"planner-{space}.log"
    asked = [*PENSTOCK, "planner", "--cluster", "--namespace", space, *options]
    process = plane.namespace.start(["env", f"KUBECONFIG={kubeconfig or plane.kubeconfig}", *asked], log)
    try:
        yield log
    finally:
        process.kill()
        process.wait()


def as_account(plane: ControlPlane, space: str, account: str) -> Path:
    """A kubeconfig with a token of a service account, and nothing else."""
    token = plane.kubectl("-n", space, "create", "token", account).strip()
    admin = plane.kubeconfig.read_text()
    file = plane.folder / f"kubeconfig-{space}-{account}"
    file.write_text(re.sub(r"token: \S+?(?=}|\s|$)", f"token: {token}", admin))
    assert token in file.read_text()
    return file


def install_accounts(plane: ControlPlane, space: str) -> None:
    """Operator's and planner's, with their rights; the processes are the test's, and nobody asks a webhook."""
    left_out = ("Deployment", "Service", "ValidatingWebhookConfiguration")
    made = [thing for thing in install_objects(OperatorSettings(), namespace=space) if thing["kind"] not in left_out]
    things = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=things)
