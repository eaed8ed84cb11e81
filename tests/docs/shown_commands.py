"""The commands that a page shows, and a person who types them: in order, in a folder of its own, on free ports.

In a page ```sh blocks are to be typed as they stand; other blocks show output or need what the reader has. A server
(`up`, `gateway`, `worker`) runs on while the next commands are typed, as in a terminal of its own.
"""

import contextlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVERS = ("up", "gateway", "worker")
PORTS = ("8000", "8080", "8001", "9001")  # that pages name; each becomes a free one
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_MADE_BY_CI = "make "  # .ci/run runs these targets themselves, and tests/demo the demo


@dataclass(frozen=True, slots=True)
class Typed:
    """One command and what came of it."""

    command: str
    code: int
    stdout: str
    stderr: str


def commands_of(page: Path) -> list[str]:
    """The commands of a page's ```sh blocks, one a line."""
    text = "\n".join(_BLOCK.findall(page.read_text())).replace("\\\n", " ")
    commands = [line.partition("  #")[0].strip() for line in text.splitlines()]
    return [command for command in commands if command and not command.startswith(("#", _MADE_BY_CI))]


def words_of(command: str) -> list[str]:
    return shlex.split(command)


class Reader:
    """Types commands in `folder`, which gets the examples and this interpreter's environment as `.venv`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {port: str(_free_port()) for port in PORTS}
        self._servers = ExitStack()
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / ".venv").symlink_to(sys.prefix)

    def type_all(self, commands: list[str]) -> Iterator[Typed]:
        """Type them one after the other; servers end last, as by Ctrl-C. Yields each as it ends."""
        running: list[tuple[str, subprocess.Popen[str]]] = []
        with self._servers:
            for shown in commands:
                command = re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: self._ports[found[1]], shown)
                words = words_of(command)
                if words[1] in SERVERS and "--for" not in words:
                    if words[1] == "up":
                        command += f" --port {self._ports['8000']} --web-port {self._ports['8080']}"
                    running.append((shown, self._begin(command)))
                    continue
                done = subprocess.run(
                    ["bash", "-c", command],
                    capture_output=True,
                    text=True,
                    cwd=self._folder,
                    timeout=120,
                    check=False,
                )
                yield Typed(shown, done.returncode, done.stdout, done.stderr)
            for shown, process in reversed(running):
                process.send_signal(signal.SIGINT)
                stdout, _ = process.communicate(timeout=30)
                yield Typed(shown, process.returncode, stdout, "")

    def _begin(self, command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], stdout=subprocess.PIPE, text=True, cwd=self._folder
        )
        self._servers.callback(process.wait)
        self._servers.callback(process.kill)
        words = words_of(command)
        url = f"http://127.0.0.1:{words[words.index('--port') + 1]}/health"
        deadline = time.monotonic() + 40
        while not _is_well(url):
            assert process.poll() is None, f"{command} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{command} does not serve"
            time.sleep(0.1)
        return process


def _is_well(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(urllib.request.urlopen(url, timeout=2).status == 200)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
