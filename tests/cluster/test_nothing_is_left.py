"""However the process of a test ends, nothing that it started stays."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from control_plane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

# A store, and the machines' process with two below it: a child, and one that left for a session of its own.
OWNER = """
import sys, time
from pathlib import Path
from control_plane import ControlPlane
from machine_set import FIRST_PROCESS
folder = Path(sys.argv[1])
plane = ControlPlane(folder)
plane.begin_store()
waits = [sys.executable, "-c", "import time; time.sleep(1000)", str(folder)]
plane.namespace.start([*FIRST_PROCESS, "sh", "-c", '"$@" & setsid "$@" & wait', "sh", *waits], folder / "tree.log")
print("begun", flush=True)
time.sleep(1000)
"""


def running(folder: Path) -> list[str]:
    """Command lines of processes that have to do with a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if any(str(folder) in word for word in words):
                found.append(" ".join(words)[:200])
    return found


def until(holds, within_s: float = 30.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_a_killed_owner_leaves_no_process(cluster: ControlPlane, tmp_path: Path) -> None:
    """Neither the control plane's nor any container's, whatever those began themselves."""
    folder = tmp_path / "plane"
    folder.mkdir()
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"begun\n"
        assert until(lambda: sum("sleep(1000)" in line for line in running(folder)) >= 2), running(folder)
        assert any("--data-dir" in line for line in running(folder))
        owner.kill()
    assert until(lambda: not running(folder)), running(folder)
