"""A worker's life as a process: bind, start, serve, drain, end.

SIGTERM or SIGINT: drain, then exit 0; what is left when the drain timeout is over is given up, and the exit code is
1. A second signal: exit now. That it does not outlive its supervisor is the doing of `cli.tether`.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
import uvloop

from penstock.errors import InputError
from penstock.worker.app import WorkerApi
from penstock.worker.service import WorkerService
from penstock.worker.settings import WorkerSettings

log = logging.getLogger(__name__)

_BACKLOG = 2048
_KEEP_ALIVE_S = 75  # longer than gateways keep an idle connection, so that they close it, not we under their request


def serve(settings: WorkerSettings) -> int:
    """Run one worker until it is told to end. Returns: the exit code. Raises: InputError, before it serves."""
    listener = _listen(settings.host, settings.port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, listener))


async def _serve(settings: WorkerSettings, listener: socket.socket) -> int:
    service = WorkerService(settings)
    server = _Server(WorkerApi(service).app())
    code = 0

    async def drain_then_stop() -> None:
        nonlocal code
        service.drain()
        timeout_s = settings.engine.drain_timeout_s
        try:
            await asyncio.wait_for(service.drained.wait(), timeout_s)
        except TimeoutError:
            log.warning("%s: %d requests left after %g s of draining, given up", settings.id, service.left, timeout_s)
            service.driver.cancel_all()
            code = 1
        server.stop.set()

    ending: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if not ending:
            ending.append(loop.create_task(drain_then_stop()))
            return
        if service.publisher is not None:
            service.publisher.close()
        os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    service.start()
    gc.freeze()  # what start-up made stays; collections then look at requests only
    try:
        await server.serve(sockets=[listener])
    finally:
        await service.close()
    return code


class _Server(uvicorn.Server):
    """uvicorn's server, woken by an event instead of ten times a second, and without signal handlers of its own."""

    def __init__(self, app: object) -> None:
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,  # it would be that of the start
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self.stop = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"--port {port}",
            f"cannot listen on {host} ({reason.lower()})",
            "use a free port of an address of this machine",
        ) from error
    listener.setblocking(False)
    return listener
