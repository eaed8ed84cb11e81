"""A pool of real processes (small ones): faults that a state machine alone cannot show."""

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from penstock.control import life_events, lifecycle, pool_shell
from penstock.control.clocks import MonotonicClock
from penstock.control.health import is_healthy, open_session, scrape, serves
from penstock.control.life_events import Want
from penstock.control.lifecycle import PoolLife
from penstock.control.pool_shell import PoolShell, Running
from penstock.control.worker_view import WorkerView
from penstock.messages.engine_spec import StartupSpec

FAKE = Path(__file__).with_name("fake_worker.py")


def exists(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


class FakeKind:
    def __init__(self, session: aiohttp.ClientSession, mode: str) -> None:
        self.session, self.mode = session, mode

    def arguments(self, worker: str, port: int, delay_s: float) -> tuple[str, ...]:
        return (sys.executable, str(FAKE), str(port), self.mode)

    async def is_healthy(self, url: str) -> bool:
        return await is_healthy(self.session, url)

    async def serves(self, url: str) -> bool:
        return await serves(self.session, url, "m")


class Pool:
    """A shell that is ticked, and what it published."""

    def __init__(self, shell: PoolShell, published: list[frozenset[str]]) -> None:
        self.shell, self.published = shell, published

    async def until(self, holds: Callable[[], bool], within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not holds():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.02)

    async def ready(self, count: int, within_s: float = 10.0) -> None:
        await self.until(lambda: len(self.shell.life.ready) == count, within_s)

    def pid(self, worker: str) -> int:
        child = self.shell.running[worker].child
        assert child is not None
        return child.pid

    @property
    def pids(self) -> list[int]:
        return [running.child.pid for running in self.shell.running.values() if running.child is not None]


def in_pool(
    tmp_path: Path, test: Callable[[Pool], Awaitable[None]], *, mode: str = "serve", drain_s: float = 5.0
) -> None:
    async def main() -> None:
        published: list[frozenset[str]] = []
        async with open_session() as session:
            life = PoolLife("w", StartupSpec(cold_s=0, warm_s=0), drain_s, max_replicas=3)
            shell = PoolShell(
                life,
                FakeKind(session, mode),
                MonotonicClock(),
                host="127.0.0.1",
                port=None,
                log_directory=tmp_path,
                publish=lambda: published.append(life.ready),
                forget=lambda worker: None,
            )
            pool = Pool(shell, published)

            async def tick() -> None:
                while True:
                    shell.tell(life_events.Tick())
                    await asyncio.sleep(0.05)

            ticking = asyncio.create_task(tick())
            try:
                await test(pool)
            finally:
                ticking.cancel()
                shell.close()
                pids = pool.pids
                shell.kill()
                await asyncio.wait_for(shell.gone(), 5)
            assert not [pid for pid in pids if exists(pid)], "an orphan is left"

    asyncio.run(main())


def test_a_pool_comes_up_is_published_and_scales_down_by_draining(tmp_path: Path) -> None:
    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=2))
        await pool.ready(2)
        assert pool.published[-1] == {"w-1", "w-2"}
        pool.shell.tell(Want(replicas=1))
        assert len(pool.published[-1]) == 1, "it left the list before it was told to drain"
        await pool.until(lambda: len(pool.shell.running) == 1)
        assert pool.shell.life.deaths == 0

    in_pool(tmp_path, test)


def test_kill_9_of_a_worker_is_noticed_and_it_is_replaced(tmp_path: Path) -> None:
    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=1))
        await pool.ready(1)
        os.kill(pool.pid("w-1"), signal.SIGKILL)
        await pool.until(lambda: frozenset() in pool.published)
        await pool.until(lambda: pool.shell.life.ready == {"w-2"})

    in_pool(tmp_path, test)


def test_a_worker_that_never_answers_again_is_killed_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "SILENT_AFTER_S", 1.5)
    monkeypatch.setattr(lifecycle, "CHECK_READY_EVERY_S", 0.2)

    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=1))
        await pool.ready(1)
        stopped = pool.pid("w-1")
        os.kill(stopped, signal.SIGSTOP)
        await pool.until(lambda: pool.shell.life.ready == {"w-2"})
        assert not exists(stopped)

    in_pool(tmp_path, test)


def test_a_worker_that_is_healthy_but_completes_nothing_never_gets_ready(tmp_path: Path) -> None:
    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=1))
        await asyncio.sleep(1.5)
        assert not pool.published
        assert len(pool.shell.running) == 1

    in_pool(tmp_path, test, mode="mute")


def test_a_drain_that_is_ignored_ends_in_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "DRAIN_GRACE_S", 0.1)

    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=1))
        await pool.ready(1)
        pool.shell.tell(Want(replicas=0))
        await pool.until(lambda: not pool.shell.running)

    in_pool(tmp_path, test, mode="stubborn", drain_s=0.5)


def test_workers_that_cannot_start_are_tried_again_and_then_given_up_with_their_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "FIRST_BACK_OFF_S", 0.05)

    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=1))
        await pool.until(lambda: pool.shell.life.gave_up is not None)
        assert "no such GPU" in str(pool.shell.life.gave_up)
        assert not pool.shell.running

    in_pool(tmp_path, test, mode="crash")


def test_a_program_that_cannot_be_begun_is_a_failed_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "FIRST_BACK_OFF_S", 0.01)
    monkeypatch.setattr(FakeKind, "arguments", lambda *_: ("/nonexistent/penstock",))

    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=1))
        await pool.until(lambda: pool.shell.life.gave_up is not None)
        assert "could not be begun: No such file" in str(pool.shell.life.gave_up)

    in_pool(tmp_path, test)


def test_a_list_that_cannot_be_written_is_written_later_and_stops_nothing_else(tmp_path: Path) -> None:
    """A full disk while one worker becomes ready and another is to go."""

    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=2))
        await pool.ready(2)
        published = pool.shell._publish

        def full() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        pool.shell._publish = full
        pool.shell.tell(Want(replicas=1))
        await pool.until(lambda: len(pool.shell.running) == 1)
        assert len(pool.published[-1]) == 2
        pool.shell._publish = published
        await pool.until(lambda: len(pool.published[-1]) == 1)

    in_pool(tmp_path, test)


def test_a_machine_without_a_free_port_is_a_failed_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_free(host: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async def test(pool: Pool) -> None:
        monkeypatch.setattr(pool_shell, "free_port", none_free)
        pool.shell.tell(Want(replicas=1))
        await pool.until(lambda: pool.shell.life.deaths)
        monkeypatch.undo()
        await pool.ready(1)

    in_pool(tmp_path, test)


def test_a_health_check_that_fails_by_itself_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the worker would never be asked again, and die of silence."""
    asked = 0

    async def broken(self: FakeKind, url: str) -> bool:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise RuntimeError("no such session")
        return await is_healthy(self.session, url)

    async def test(pool: Pool) -> None:
        monkeypatch.setattr(FakeKind, "is_healthy", broken)
        pool.shell.tell(Want(replicas=1))
        await pool.until(lambda: pool.shell.life.ready == {"w-1"})

    in_pool(tmp_path, test)


def test_the_end_of_a_pool_waits_for_its_processes_and_for_no_question(tmp_path: Path) -> None:
    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=1))
        await pool.ready(1)
        pool.shell._later(asyncio.sleep(60))  # a probe that hangs
        pool.shell.running["w-9"] = Running(WorkerView(0.0), beginning=pool.shell._later(asyncio.sleep(0)))
        pool.shell.close()
        pool.shell.kill()
        await asyncio.wait_for(pool.shell.gone(), 5)

    in_pool(tmp_path, test)


def test_a_worker_killed_while_it_is_being_begun_leaves_no_process(tmp_path: Path) -> None:
    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=3))
        pool.shell.tell(Want(replicas=0))  # before the processes exist
        await pool.until(lambda: not pool.shell.running)

    in_pool(tmp_path, test, mode="deaf")


def test_a_scrape_is_bounded_in_time_and_anything_but_200_is_no_data(tmp_path: Path) -> None:
    async def test(pool: Pool) -> None:
        pool.shell.tell(Want(replicas=1))
        await pool.ready(1)
        url = pool.shell.running["w-1"].url
        async with open_session() as session:
            text = await scrape(session, url)
            assert text is not None
            assert "num_requests_running 2" in text
            os.kill(pool.pid("w-1"), signal.SIGSTOP)
            began = asyncio.get_running_loop().time()
            assert await scrape(session, url) is None
            assert asyncio.get_running_loop().time() - began < 2
            assert await scrape(session, "http://127.0.0.1:9") is None

    in_pool(tmp_path, test)
