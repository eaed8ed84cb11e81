"""A network namespace for one testbed, where every address of 10.77/16 is local and nothing else can be reached.

It has no name: it is held by one process and gone with the last one in it, so that nothing is left behind however a
test ends. By `unshare --net` for who may, else in a user namespace of its own. Every program started here is killed by
the kernel when the thread that started it ends (`setpriv --pdeathsig`), for it cannot be asked to look after itself.

The test's own process stays outside, since pytest is one process with threads, which cannot enter another user
namespace, and since other tests need the network it has. It reaches addresses inside through `relay.py`; programs that
speak by themselves (kubectl, `penstock load`) are started inside.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from go_program import unavailable

POD_NETWORK = "10.77.0.0/16"
TOOLS = ("ip", "unshare", "nsenter", "setpriv")  # iproute2, util-linux
_SET_UP = f'ip link set lo up && ip address add {POD_NETWORK} dev lo && exec "$@"'
_TETHERED = ("setpriv", "--pdeathsig", "KILL")


class Namespace:
    """One namespace and the way into it."""

    def __init__(self, folder: Path) -> None:
        """Make it. Skips the test, or fails it in CI, where this machine does not let us."""
        if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
            unavailable(f"needs {', '.join(missing)}: install iproute2 and util-linux")
        self._socket = folder / "relay"
        self._log = folder / "relay.log"
        may = subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL, check=False, timeout=10)
        self._user = ["--user", "--map-root-user"] if may.returncode else []
        relay = [sys.executable, str(Path(__file__).with_name("relay.py")), str(self._socket)]
        with self._log.open("wb") as log:
            self._holder = subprocess.Popen(
                ["unshare", *self._user, "--net", "sh", "-c", _SET_UP, "sh", *_TETHERED, *relay],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 10
        while not self._socket.exists():
            if self._holder.poll() is not None or time.monotonic() > deadline:
                self.close()
                unavailable(f"no network namespace on this machine: {self._log.read_text().strip()[-300:]}")
            time.sleep(0.02)

    def start(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program inside; its output goes to the file."""
        with log.open("ab") as output:
            return subprocess.Popen(
                self._inside(arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
            )

    def run(
        self,
        arguments: Sequence[str],
        *,
        timeout_s: float,
        given: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end. Raises: subprocess.TimeoutExpired."""
        return subprocess.run(
            self._inside(arguments),
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, **(environment or {})},
            check=False,
        )

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A connection to an address inside. Raises: OSError, if nothing answers there."""
        joined = socket.socket(socket.AF_UNIX)
        joined.settimeout(timeout_s)
        try:
            joined.connect(str(self._socket))
            joined.sendall(f"{address} {port}\n".encode())
            if joined.recv(1) != b"\n":
                raise ConnectionRefusedError(f"nothing answers at {address}:{port}")
        except BaseException:
            joined.close()
            raise
        return joined

    def close(self) -> None:
        """End the process that holds it."""
        with contextlib.suppress(ProcessLookupError):
            self._holder.kill()
        self._holder.wait()

    def _inside(self, arguments: Sequence[str]) -> list[str]:
        # The tether last: what enters a user namespace loses it.
        enter = ["nsenter", f"--target={self._holder.pid}", "--net"]
        if self._user:
            enter += ["--user", "--preserve-credentials"]
        return [*enter, *_TETHERED, *arguments]
