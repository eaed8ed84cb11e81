"""Carries out a pool's life with real processes: begins, asks, drains and kills as `lifecycle` says, reports back.

Few branches on purpose: every decision is in the state machine, every instruction is one line here. What takes time
runs as a task and reports an event when it is done, in whatever order that happens. One event loop, so no locks.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from penstock.clock import Clock
from penstock.control import life_events, lifecycle
from penstock.control.child import Child, free_port
from penstock.control.life_events import Event, Instruction
from penstock.control.lifecycle import PoolLife
from penstock.control.worker_view import WorkerView

log = logging.getLogger(__name__)


class Kind(Protocol):
    """What the processes of a pool are: how one is begun, asked for its health, and tried."""

    def arguments(self, worker: str, port: int, delay_s: float) -> tuple[str, ...]:
        """Its command line."""

    def is_healthy(self, url: str) -> Awaitable[bool]:
        """Whether it answers."""

    def serves(self, url: str) -> Awaitable[bool]:
        """Whether it can do its work."""


@dataclass(slots=True)
class Running:
    """A worker's process, once begun, and what its scrapes say."""

    view: WorkerView
    url: str = ""  # empty until it is begun
    beginning: asyncio.Task[None] | None = None
    child: Child | None = None
    condemned: bool = False  # killed before it was begun


class PoolShell:
    """One pool of processes.

    Args:
        port: of every process, for a pool of one; None: a free one for each.
        publish: called when the set of ready workers changed.
        forget: called when a worker is gone for good.
    """

    def __init__(
        self,
        life: PoolLife,
        kind: Kind,
        clock: Clock,
        *,
        host: str,
        port: int | None,
        log_directory: Path,
        publish: Callable[[], None],
        forget: Callable[[str], None],
    ) -> None:
        self.life = life
        self.running: dict[str, Running] = {}
        self._kind, self._clock = kind, clock
        self._host, self._port = host, port
        self._log_directory = log_directory
        self._publish, self._forget = publish, forget
        self._tasks: set[asyncio.Task[None]] = set()
        self._unpublished = False  # the set of ready workers could not be made known yet
        self._closed = False

    def tell(self, event: Event) -> None:
        """Let the state machine know, and do as it says."""
        if self._closed:
            return
        if self._unpublished:
            self._make_known()
        for instruction in self.life.handle(event, self._clock.now_s()):
            self._carry_out(instruction)

    def close(self) -> None:
        """Start and check no more; what is running goes on until it is ended."""
        self._closed = True

    def end(self) -> None:
        """Ask every process to finish and exit."""
        for running in self.running.values():
            self._end(running)

    def kill(self) -> None:
        """End every process now, those being begun included."""
        for running in self.running.values():
            running.condemned = True
            if running.child is not None:
                running.child.kill()

    async def gone(self) -> None:
        """Wait until every process is gone."""
        for running in list(self.running.values()):
            if running.beginning is not None:
                await asyncio.wait([running.beginning])
            if running.child is not None:
                await running.child.gone()
        for task in self._tasks:
            task.cancel()

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case life_events.Spawn(worker=worker, delay_s=delay_s):
                running = self.running[worker] = Running(WorkerView(self._clock.now_s()))
                running.beginning = self._later(self._begin(worker, running, delay_s))
            case life_events.Check(worker=worker):
                self._later(self._check(worker))
            case life_events.Probe(worker=worker):
                self._later(self._probe(worker))
            case life_events.Publish():
                self._make_known()
            case life_events.Drain(worker=worker):
                log.info("%s: draining", worker)
                self._end(self.running[worker])
            case life_events.Kill(worker=worker, why=why):
                log.log(logging.INFO if why == lifecycle.NOT_WANTED else logging.WARNING, "%s: killed, %s", worker, why)
                running = self.running[worker]
                running.condemned = True
                if running.child is not None:
                    running.child.kill()
            case life_events.Died(worker=worker, how=how, again_in_s=again_in_s):
                log.warning("%s died (%s); again in %g s", worker, how, again_in_s)
            case life_events.PoolGaveUp(why=why):
                log.error("giving up: %s", why)

    def _make_known(self) -> None:
        """Publish; if that fails (a full disk), do all else, and try again at the next event."""
        try:
            self._publish()
        except OSError as error:
            if not self._unpublished:
                log.error("the list of ready workers cannot be written (%s); trying again", error.strerror)
            self._unpublished = True
        else:
            self._unpublished = False

    async def _begin(self, worker: str, running: Running, delay_s: float) -> None:
        try:
            port = self._port or self._unused_port()
            running.url = f"http://{_in_url(self._host)}:{port}"
            running.child = await Child.begin(
                self._kind.arguments(worker, port, delay_s),
                log_file=self._log_directory / f"{worker}.log",
                exited=lambda how: self._exited(worker, how),
            )
        except OSError as error:
            self._exited(worker, f"could not be begun: {error.strerror}")
            return
        log.info("%s: begun, process %d at %s", worker, running.child.pid, running.url)
        if running.condemned:
            running.child.kill()

    async def _check(self, worker: str) -> None:
        healthy, running = False, self.running.get(worker)
        try:
            healthy = running is not None and await self._kind.is_healthy(running.url)
        finally:  # whatever became of the question: without an answer it is never asked again
            self.tell(life_events.Checked(worker=worker, healthy=healthy))

    async def _probe(self, worker: str) -> None:
        served, running = False, self.running.get(worker)
        try:
            served = running is not None and await self._kind.serves(running.url)
        finally:
            if served:
                log.info("%s: ready", worker)
            self.tell(life_events.Probed(worker=worker, served=served))

    def _exited(self, worker: str, how: str) -> None:
        self.running.pop(worker, None)
        self.tell(life_events.Exited(worker=worker, how=how))
        self._forget(worker)

    def _unused_port(self) -> int:
        taken = {running.url.rpartition(":")[2] for running in self.running.values()}
        while str(port := free_port(self._host)) in taken:
            pass  # given to a process that has not bound it yet
        return port

    def _end(self, running: Running) -> None:
        if running.child is not None:
            running.child.end()
        else:
            running.condemned = True

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("supervising failed", exc_info=error)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
