"""Child processes: their last words, their groups, and that none outlives the one that began it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from penstock.control.child import MAX_LOG_BYTES, TETHER_VARIABLE, Child

SLEEP = "import time; time.sleep(60)"


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def is_running(pid: int) -> bool:
    try:
        return state(pid) != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not is_running(pid):
            return True
        time.sleep(0.02)
    return False


def first_words(log: Path) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if log.exists() and (text := log.read_text()).endswith("\n"):
            return text
        time.sleep(0.02)
    raise TimeoutError(f"nothing in {log}")


async def begin(program: str, folder: Path) -> tuple[Child, asyncio.Future[str]]:
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    child = await Child.begin([sys.executable, "-c", program], log_file=folder / "log", exited=ended.set_result)
    return child, ended


def test_how_it_ended_is_told_once_with_its_last_words(tmp_path: Path) -> None:
    async def main() -> str:
        _, ended = await begin("import sys; print('fine so far', flush=True); sys.exit('no such GPU')", tmp_path)
        return await ended

    assert asyncio.run(main()) == "exit code 1, its last words: no such GPU"
    assert (tmp_path / "log").read_text() == "fine so far\nno such GPU\n"


def test_a_killed_child_is_told_by_its_signal(tmp_path: Path) -> None:
    async def main() -> str:
        child, ended = await begin(SLEEP, tmp_path)
        child.kill()
        return await ended

    assert asyncio.run(main()) == "killed by SIGKILL"


def test_a_stopped_child_can_be_killed(tmp_path: Path) -> None:
    async def main() -> str:
        child, ended = await begin(SLEEP, tmp_path)
        os.kill(child.pid, signal.SIGSTOP)
        while state(child.pid) != "T":  # noqa: ASYNC110 - the kernel has no event for it
            await asyncio.sleep(0.01)
        child.end()  # waits, with the process
        assert not child.is_gone
        child.kill()
        return await ended

    assert asyncio.run(main()) == "killed by SIGKILL"


def test_a_kill_takes_its_whole_group(tmp_path: Path) -> None:
    begun = f"p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])"
    program = f"import subprocess, sys; {begun}; print(p.pid, flush=True); p.wait()"

    async def main() -> int:
        child, ended = await begin(program, tmp_path)
        heir = await asyncio.to_thread(first_words, tmp_path / "log")
        child.kill()
        await ended
        return int(heir)

    assert ends_within(asyncio.run(main()), 2)


def test_whoever_inherits_the_output_does_not_delay_the_news(tmp_path: Path) -> None:
    heir = f"p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)"

    async def main() -> float:
        began = time.monotonic()
        _, ended = await begin(f"import subprocess, sys; {heir}; print(p.pid)", tmp_path)
        await ended
        return time.monotonic() - began

    took_s = asyncio.run(main())
    os.kill(int((tmp_path / "log").read_text()), signal.SIGKILL)
    assert took_s < 5


def test_the_log_is_bounded_and_keeps_the_end(tmp_path: Path) -> None:
    program = f"for n in range(40): print(str(n) * {MAX_LOG_BYTES // 40})"

    async def main() -> None:
        _, ended = await begin(program, tmp_path)
        await ended

    asyncio.run(main())
    assert (tmp_path / "log").stat().st_size <= MAX_LOG_BYTES
    assert (tmp_path / "log").read_text().endswith("39\n")


def test_a_tethered_command_dies_with_the_one_that_began_it(tmp_path: Path) -> None:
    """kill -9 of the supervisor: it can do nothing any more, so the kernel must."""
    child = (
        "import sys; from penstock.cli.tether import tether_to_parent as t; t(); print('tied', flush=True); " + SLEEP
    )
    parent = (
        "import os, subprocess, sys, time; "
        f"env = {{**os.environ, {TETHER_VARIABLE!r}: str(os.getpid())}}; "
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], env=env, stdout=subprocess.PIPE, process_group=0); "
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    assert supervisor.stdout is not None
    with supervisor.stdout:
        pid = int(supervisor.stdout.readline())
        assert is_running(pid)
        supervisor.kill()
        supervisor.wait()
    assert ends_within(pid, 2)


def test_a_command_whose_supervisor_is_already_gone_ends_at_once() -> None:
    program = "from penstock.cli.tether import tether_to_parent; tether_to_parent(); print('survived')"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, TETHER_VARIABLE: "1"}, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b""


def test_a_child_whose_words_cannot_be_kept_is_not_begun(tmp_path: Path) -> None:
    """Its folder is gone, or the disk is full: no process may run that nobody knows of."""

    async def main() -> None:
        program = f"{SLEEP}  # {tmp_path}"
        await Child.begin([sys.executable, "-c", program], log_file=tmp_path / "gone" / "log", exited=print)

    with pytest.raises(FileNotFoundError):
        asyncio.run(main())
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
