"""A whole deployment on this machine: page, gateway, pools and the loop, brought up in order and taken down in order.

Everything that can be known to be wrong (engines, VM sizes, policies, ports, folders) is found before the first
process begins, as an InputError. From then on `stop` leaves nothing behind, whenever it is called.
"""

import asyncio
import contextlib
import logging
import shutil
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from penstock.autoscale.policies import policy_for
from penstock.control.child import free_port
from penstock.control.clocks import MonotonicClock
from penstock.control.faults import Faults
from penstock.control.health import open_session
from penstock.control.latest import Latest
from penstock.control.launch import tokenizer_of
from penstock.control.loop import Decisions, Listener, in_thread, run
from penstock.control.machine import Machine
from penstock.control.run_directory import RunDirectory
from penstock.control.tally import Tally
from penstock.errors import GiveUp, InputError
from penstock.messages.result import Result
from penstock.messages.scaling_spec import NoScaling
from penstock.messages.spec import InferenceDeployment
from penstock.messages.worker import Role
from penstock.telemetry.control_metrics import ControlMetrics
from penstock.telemetry.feed import Feed
from penstock.telemetry.journal import Journal
from penstock.telemetry.ledger import Ledger
from penstock.telemetry.page_server import PageServer
from penstock.telemetry.web import LOOPBACK, create_app
from penstock.tokenizer.tokenizer import Tokenizer

log = logging.getLogger(__name__)

_ANY_HOST = ("0.0.0.0", "::")  # the user let every host in, by whatever name it calls us


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a deployment serves and writes.

    Args:
        port: of the gateway; 0: a free one. web_port: of the page; 0: a free one.
        out: folder for decisions, history and logs; None: nothing is kept.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    web_port: int = 8080
    out: Path | None = None


class Deployment:
    """Serves from `async with` on; `wait` until it is over, then `result`.

    Args:
        listeners: hear of everything that the loop sees and decides, after our own.
    Raises: InputError, for all that is wrong with spec or places.
    """

    def __init__(self, deployment: InferenceDeployment, places: Places, listeners: tuple[Listener, ...] = ()) -> None:
        check_for_one_machine(deployment)
        self.deployment, self._places = deployment, places
        self.spec = deployment.spec
        self.ledger = Ledger.of(self.spec)
        self.tally = Tally(self.spec.slo)
        self.clock = MonotonicClock()
        self.gateway_url = self.page_url = ""
        self.faults = Faults()
        self.latest = Latest()
        self._more_listeners = listeners
        self._ending = asyncio.Event()
        self._gave_up: str | None = None
        self._stack = contextlib.AsyncExitStack()
        self._machine: Machine | None = None
        self._result: Result | None = None

    @property
    def machine(self) -> Machine:
        """The processes, once begun."""
        assert self._machine is not None
        return self._machine

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def begun(self) -> bool:
        """Wait until the gateway answers and every pool has its first replicas. False: it ended before."""
        while not self.machine.has_begun:
            if self._ending.is_set():
                return False
            await asyncio.sleep(0.05)
        return True

    async def listening(self) -> bool:
        """Wait until the gateway answers. False: it ended before."""
        while not self.machine.gateway.life.ready:
            if self._ending.is_set():
                return False
            await asyncio.sleep(0.02)
        return True

    async def wait(self, for_s: float | None = None) -> None:
        """Serve until somebody ends it, or for so long. Raises: GiveUp, if a pool that serves nothing gave up."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), for_s)
        if self._gave_up is not None:
            raise GiveUp(self._gave_up)

    def end(self) -> None:
        """End it in order; called again, kill at once. Safe in a signal handler of the event loop."""
        if self._ending.is_set() and self._machine is not None:
            self._machine.kill()
        self._ending.set()

    @property
    def result(self) -> Result:
        """What became of it, up to now or to its end."""
        if self._result is not None:
            return self._result
        return self.tally.result(self.machine.gateway_view, self.ledger.costs(), wall_s=self.clock.now_s())

    async def _begin(self) -> None:
        places, spec, stack = self._places, self.spec, self._stack
        _check_port(places.host, places.port)
        port = places.port or free_port(places.host)
        feed = Feed(
            self.deployment,
            costs=self.ledger.costs if self.ledger.knows_gpus else None,
            started_unix_s=self.clock.began_unix_s,
        )
        metrics = ControlMetrics(
            spec.slo, costs=self.ledger.costs, errors=self.faults.counts, deaths=lambda: self.machine.deaths
        )
        listeners: list[Listener] = [self.ledger, self.tally, self.latest, metrics, feed]
        if places.out is not None:
            journal = Journal(places.out)
            stack.callback(journal.close)
            listeners.append(journal)
        directory = RunDirectory()
        stack.callback(directory.remove)
        directory.keep_spec(self.deployment)
        session = await stack.enter_async_context(open_session())
        self._machine = Machine(
            spec,
            self.clock,
            directory,
            session,
            host=places.host,
            port=port,
            log_directory=_logs(places.out, directory),
            faults=self.faults,
            gave_up=self._pool_gave_up,
        )
        hosts = ("*",) if places.host in _ANY_HOST else (*LOOPBACK, places.host)
        app = create_app(feed, registry=metrics.registry, allowed_hosts=hosts)
        page = PageServer(app, host=places.host, port=places.web_port)
        self.page_url = await page.start()
        stack.push_async_callback(page.stop)
        self.gateway_url = f"http://{f'[{places.host}]' if ':' in places.host else places.host}:{port}"
        stack.push_async_callback(self._machine.stop)
        self._machine.begin()
        self._keep(self._machine.supervise(), "supervising")
        stack.push_async_callback(self._last_look)
        self._keep(
            run(
                self._machine,
                Decisions.of(spec),
                self.clock,
                (*listeners, *self._more_listeners),
                decider=in_thread,
                faults=self.faults,
            ),
            "the control loop",
        )

    def _keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a task until the end; if it ends by itself, everything does."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("%s failed", task.get_name(), exc_info=error)
                self._pool_gave_up(f"{task.get_name()} failed: {error}")

        async def cancel() -> None:
            task.cancel()
            await asyncio.wait([task])

        task = asyncio.create_task(work, name=name)
        task.add_done_callback(ended)
        self._stack.push_async_callback(cancel)

    async def _last_look(self) -> None:
        """Count what happened since the loop's last second, while the gateway still answers.

        For the accounts only: the history holds what decisions were made on, and none is made on this.
        """
        try:
            observation = await self.machine.observe(self.clock.now_s())
            self.ledger.observed(observation)
            self.tally.observed(observation)
        except Exception:
            log.exception("the last look at the deployment failed")
        self._result = self.result

    def _pool_gave_up(self, why: str) -> None:
        self._gave_up = why
        self._ending.set()


def check_for_one_machine(deployment: InferenceDeployment) -> None:
    """What the spec asks for and this machine cannot do. Raises: InputError."""
    for component in deployment.spec.pools:
        if component.engine.type != "simulated":
            raise InputError(
                f"spec.components.{component.name}.engine.type",
                f"`penstock up` does not start {component.engine.type} yet",
                "use type simulated, or put `penstock gateway` before engines that you started",
            )
        policy_for(deployment.spec, component)
    Tokenizer.load(tokenizer_of(deployment.spec))


def scales_its_frontend(deployment: InferenceDeployment) -> bool:
    """Whether the spec asks for more than the one gateway that a machine runs."""
    return any(
        component.role is Role.FRONTEND
        and (not isinstance(component.autoscaling, NoScaling) or component.initial_replicas != 1)
        for component in deployment.spec.components
    )


def _logs(out: Path | None, directory: RunDirectory) -> Path:
    if out is None:
        return directory.path
    logs = out / "logs"
    shutil.rmtree(logs, ignore_errors=True)  # those of an earlier run into the same folder
    logs.mkdir(parents=True)
    return logs


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)  # Linux lets two sockets bind with SO_REUSEADDR while neither listens
        except socket.gaierror as error:
            raise InputError(
                f"--host {host}", "no such address", "name one of this machine, such as 127.0.0.1"
            ) from error
        except OSError as error:
            raise InputError(
                f"--port {port}", f"cannot listen on {host} there ({error.strerror})", "name a free port, or 0 for any"
            ) from error
