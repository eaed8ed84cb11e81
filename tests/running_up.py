"""A real `penstock up` in a session of its own, for tests: its ports, its processes, its end."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {{name: small}}
spec:
  model: {{name: penstock/tiny}}
  slo: {{ttftSeconds: 0.5, itlSeconds: 0.05, percentile: 95, windowSeconds: 10}}
  components:
    - {{name: frontend, role: frontend}}
    - name: worker
      role: worker
      replicas: {replicas}
      engine:
        type: {engine}
        drainTimeoutSeconds: 10
        startup: {{coldSeconds: {cold_s}, warmSeconds: 0.1}}
      gpu: {{vmSize: Standard_NC40ads_H100_v5}}
      autoscaling: {scaling}
"""
FIXED = "{by: none}"


def write_spec(
    folder: Path, *, replicas: int = 1, engine: str = "simulated", cold_s: float = 0.2, scaling: str = FIXED
) -> Path:
    path = folder / "deployment.yaml"
    path.write_text(SPEC.format(replicas=replicas, engine=engine, cold_s=cold_s, scaling=scaling))
    return path


class Up:
    """The process, and what can be asked of it."""

    def __init__(self, spec: Path, *arguments: str) -> None:
        self.log = spec.with_name("stderr")
        with self.log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "penstock.cli.program", "up", str(spec), "--port=0", "--web-port=0", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )

    @property
    def errors(self) -> str:
        return self.log.read_text()

    def children(self) -> dict[int, str]:
        """Every other process of its session: process id to its arguments."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                with contextlib.suppress(OSError, IndexError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[3]) == self.process.pid and fields[0] != "Z":
                        found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        return found

    def workers(self) -> dict[str, int]:
        """Worker id to process id."""
        found = {}
        for pid, command in self.children().items():
            if match := re.search(r"--id (\S+)", command):
                found[match[1]] = pid
        return found

    def gateway(self) -> int:
        return next(pid for pid, command in self.children().items() if " gateway " in command)

    def until(self, holds: Callable[[], Any], within_s: float = 30.0) -> Any:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if found := holds():
                return found
            assert self.process.poll() is None, f"it ended: {self.errors}"
            time.sleep(0.05)
        raise AssertionError(f"not within {within_s} s: {self.errors}")

    @property
    def url(self) -> str:
        return str(self.until(lambda: re.search(r"requests to (\S+)/v1", self.errors))[1])

    @property
    def page(self) -> str:
        return str(self.until(lambda: re.search(r"live page at (\S+)/", self.errors))[1])

    def is_serving(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(urllib.request.urlopen(self.url + "/health", timeout=2).status == 200)
        return False

    def serves_with(self, workers: int) -> bool:
        """Whether its gateway may send requests to so many workers."""
        with contextlib.suppress(OSError):
            return read_metrics(self.url)["penstock_gateway_workers"] == workers
        return False

    def complete(self, max_tokens: int = 4, timeout_s: float = 30.0) -> dict[str, Any]:
        """One real completion through the gateway."""
        body = {"model": "penstock/tiny", "prompt": "Once upon a time", "max_tokens": max_tokens}
        request = urllib.request.Request(
            self.url + "/v1/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            return dict(json.load(response))

    def metrics(self) -> dict[str, float]:
        """The supervisor's own; the gateway has others."""
        return read_metrics(self.page)

    def end(self, number: int = signal.SIGINT, within_s: float = 20.0) -> tuple[int, str]:
        """End it as a user does. Returns: exit code and stdout."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        stdout, _ = self.process.communicate(timeout=within_s)
        return self.process.returncode, stdout

    def clean_up(self) -> None:
        """Whatever a failed test left."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def read_metrics(url: str) -> dict[str, float]:
    """Series with its labels to value, as one process tells them now."""
    with urllib.request.urlopen(url + "/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


@contextlib.contextmanager
def running_up(spec: Path, *arguments: str) -> Iterator[Up]:
    up = Up(spec, *arguments)
    try:
        yield up
    finally:
        up.clean_up()
