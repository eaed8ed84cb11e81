"""One child process: begun in a group of its own, heard to its last words, never left behind.

It is tied to this process by the kernel (`cli.tether`), and ended with its whole group. What it says is kept in a
bounded file (the last part, once it is full) and its last lines in memory, for the message when it dies. A thin shell:
when to end what is decided elsewhere.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

TETHER_VARIABLE = "PENSTOCK_TETHER"  # read by `cli.tether`; the supervisor's process id
MAX_LOG_BYTES = 1 << 20
_LINE_BYTES = 2048
_CHUNK_BYTES = 1 << 16


class Child:
    """A process that this one began."""

    def __init__(self, process: asyncio.subprocess.Process, output: "_Output", exited: Callable[[str], None]) -> None:
        self._process = process
        self._life = asyncio.create_task(self._watch(output, exited), name=f"child {process.pid}")

    @classmethod
    async def begin(
        cls,
        arguments: Sequence[str],
        *,
        log_file: Path,
        exited: Callable[[str], None],
    ) -> Self:
        """Begin a process; `exited` is told once, how it ended. Raises: OSError."""
        # A pipe of our own: asyncio's makes `wait` wait for whoever inherited the other end, too.
        reading, writing = os.pipe()
        try:
            output = _Output(reading, log_file)  # first: what cannot be heard must not run
            try:
                process = await asyncio.create_subprocess_exec(
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=writing,
                    stderr=writing,
                    process_group=0,  # a Ctrl-C on the terminal is ours to pass on
                    env={**os.environ, TETHER_VARIABLE: str(os.getpid())},
                )
            except BaseException:
                output.close()
                raise
        finally:
            os.close(writing)
        return cls(process, output, exited)

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        """Whether it has been reaped."""
        return self._process.returncode is not None

    def end(self) -> None:
        """Ask it to finish what it has and exit (SIGTERM)."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it and whatever it began, now (SIGKILL)."""
        self._send(signal.SIGKILL)

    async def gone(self) -> None:
        """Wait until it is gone and its output was read."""
        await asyncio.shield(self._life)

    def _send(self, number: signal.Signals) -> None:
        if not self.is_gone:  # once reaped, its id may be another's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def _watch(self, output: "_Output", exited: Callable[[str], None]) -> None:
        code = await self._process.wait()
        exited(_how(code, output.close()))


class _Output:
    """What a child says: read as it comes, kept in a bounded file and, for its last line, in memory."""

    def __init__(self, pipe: int, log_file: Path) -> None:
        """Owns the pipe from now on. Raises: OSError."""
        self._pipe = pipe
        try:
            self._log = log_file.open("wb", buffering=0)
        except OSError:
            os.close(pipe)
            raise
        self._kept = 0
        self._last_line = ""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(pipe, False)
        self._loop.add_reader(pipe, self._read)

    def close(self) -> str:
        """Read what is left and stop. Returns: the last line."""
        while self._read():
            pass
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        self._log.close()
        return self._last_line

    def _read(self) -> bool:
        try:
            chunk = os.read(self._pipe, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(self._pipe)
            return False
        if self._kept + len(chunk) > MAX_LOG_BYTES:
            self._log.seek(0)
            self._log.truncate()
            self._kept = 0
        try:
            self._kept += self._log.write(chunk)
        except OSError:
            self._kept += len(chunk)  # a full disk: the child must not block on its output for that
        for line in chunk[-_LINE_BYTES:].decode(errors="replace").splitlines():
            self._last_line = line.strip() or self._last_line
        return True


def own_program(*arguments: str) -> tuple[str, ...]:
    """Command line of another `penstock`, by this interpreter: no search in PATH, no other version."""
    return (sys.executable, "-m", "penstock.cli.program", *arguments)


def free_port(host: str) -> int:
    """A port that is free now. Who loses the race for it exits, and is started again on another."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _how(code: int, last_words: str) -> str:
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{how}, its last words: {last_words[:300]}" if last_words and code != 0 else how
