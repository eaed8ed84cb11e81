"""The process around a gateway: its socket, its signals, its end."""

import asyncio
import errno
import logging
import resource
import signal
import socket
from collections.abc import Callable

import uvloop

from penstock.errors import InputError
from penstock.gateway.discovery import Discovery
from penstock.gateway.front import Front
from penstock.gateway.prompts import Tokenizer
from penstock.gateway.settings import GatewaySettings

log = logging.getLogger(__name__)

_BACKLOG = 2048


class Gateway:
    """A gateway that listens, from `start` to `stop`."""

    def __init__(self, settings: GatewaySettings, tokenizer: Tokenizer | None = None) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._server: asyncio.Server | None = None
        self.front: Front
        self.port = 0

    async def start(self, discovery: Discovery | None = None) -> None:
        """Bind, then serve. Raises: InputError, if the address cannot be had."""
        loop = asyncio.get_running_loop()
        listening = bind(self._settings.host, self._settings.port)
        self.port = listening.getsockname()[1]
        self.front = Front(self._settings, self._tokenizer, loop.time)
        if discovery is not None:
            self.front.start(discovery)
        self._server = await loop.create_server(self.front.connection, sock=listening, backlog=_BACKLOG)

    async def stop(self, grace_s: float | None = None) -> None:
        """Stop accepting, finish what is in flight, drop the rest."""
        if self._server is not None:
            self._server.close()
        await self.front.end(self._settings.grace_s if grace_s is None else grace_s)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket. Raises: InputError, in one line, if that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, OverflowError) as error:
        raise InputError(
            "--host", f"{host!r} is no address here", "use 127.0.0.1, 0.0.0.0 or an own address"
        ) from error
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                "--port", f"port {port} is in use on {host}", "stop what uses it, or choose another"
            ) from error
        raise InputError(
            "--host, --port", f"cannot listen on {host}:{port} ({error.strerror})", "choose another address"
        ) from error
    listening.setblocking(False)
    return listening


def serve(settings: GatewaySettings, tokenizer: Tokenizer | None, make_discovery: Callable[[Front], Discovery]) -> None:
    """Run a gateway until SIGTERM or Ctrl-C; a second one ends it at once."""
    _raise_file_limit()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        at_once = asyncio.Event()

        def tell() -> None:
            (at_once if told.is_set() else told).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, tell)
        gateway = Gateway(settings, tokenizer)
        await gateway.start()
        gateway.front.start(make_discovery(gateway.front))
        log.info("listening on http://%s:%d", settings.host, gateway.port)
        await told.wait()
        ending = asyncio.ensure_future(gateway.stop())
        hurry = asyncio.ensure_future(at_once.wait())
        await asyncio.wait((ending, hurry), return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            ending.cancel()
            await gateway.front.end(0.0)
        hurry.cancel()

    uvloop.run(main())


def _raise_file_limit() -> None:
    """Each request takes two sockets, and the soft limit is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
