"""Real worker processes for tests, and how to talk to them without any client library."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class WorkerProcess:
    """One `penstock worker`."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def health(self) -> int | None:
        """Status of /health; None: nobody listens."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def wait_ready(self, timeout_s: float = 20) -> "WorkerProcess":
        deadline = time.monotonic() + timeout_s
        while self.health() != 200:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "the worker did not become ready"
            time.sleep(0.03)
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def command(port: int, *flags: object) -> list[str]:
    return [sys.executable, "-m", "penstock.cli.program", "worker", "--port", str(port), *map(str, flags)]


def launch(*flags: object, port: int | None = None, **env: str) -> WorkerProcess:
    port = port or free_port()
    process = subprocess.Popen(
        command(port, *flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | env
    )
    return WorkerProcess(process, port)


Launcher = Callable[..., WorkerProcess]


def get(worker: WorkerProcess, path: str) -> Any:
    with urllib.request.urlopen(worker.url + path, timeout=5) as response:
        return json.loads(response.read())


def post(worker: WorkerProcess, path: str, body: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, whatever the status."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(worker.url + path, data, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, {name.lower(): value for name, value in response.headers.items()}, response.read()
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def metric(worker: WorkerProcess, name: str) -> float:
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))
