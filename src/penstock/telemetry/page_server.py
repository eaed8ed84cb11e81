"""Serves the live page inside the process of the control loop, on its event loop; signals stay the process's own."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from penstock.errors import InputError


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, not to the page."""
        yield


class PageServer:
    """One web port. `start` returns once it listens; `stop` ends the streams first, so it takes no timeout."""

    def __init__(self, app: Starlette, *, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen; returns the page's URL. Raises: InputError, if the port is taken or not ours to take."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError as error:
            listener.close()
            raise InputError(
                f"--web-port {self._port}", f"cannot listen there ({error.strerror})", "name a free port, or 0 for any"
            ) from error
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=2
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="live page")
        while not self._server.started:
            if self._serving.done():
                await self._serving
            await asyncio.sleep(0.005)
        port = listener.getsockname()[1]
        host = f"[{self._host}]" if family == socket.AF_INET6 else self._host
        return f"http://{host}:{port}/"

    async def stop(self) -> None:
        """End every stream and stop listening."""
        if self._server is None or self._serving is None:
            return
        self._app.state.events.close()
        self._server.should_exit = True
        await self._serving
