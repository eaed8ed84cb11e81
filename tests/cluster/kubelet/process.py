"""One run of a container: a process in a session of its own, whose whole group gets its signals."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

CANNOT_START = 128  # exit code of a container whose command cannot be run


class Process:
    """A process that was started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, argv: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> Self:
        """Output is added to the log. Raises: OSError, ValueError, if it cannot be run."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=own_environment(environment, folder),
                start_new_session=True,
            )
        return cls(process)

    async def exit_code(self) -> int:
        """Wait for its end, and end what it left. Returns: its code, or 128 and the signal's number."""
        code = await self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return 128 - code if code < 0 else code

    def send(self, number: signal.Signals) -> None:
        """SIGTERM goes to the process itself, as in a container; SIGKILL to all of its group."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(self._process.pid, number)
                else:
                    self._process.send_signal(number)


def own_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """What a container's processes see: what the pod says, a PATH to find commands in, a home of their own."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "TMPDIR": str(folder), **environment}
