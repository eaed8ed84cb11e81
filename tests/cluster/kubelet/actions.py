"""Runs what probes and hooks ask for."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from kubelet.probe import Action, Exec, HttpGet, Sleep, TcpSocket
from kubelet.process import own_environment


class Actions:
    """Runs actions; those of one kubelet share a client, but no connections, as probes do."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def passes(
        self, action: Action, environment: Mapping[str, str], folder: Path, timeout_s: float | None
    ) -> bool:
        """Whether it succeeds in time (None: however long it takes)."""
        try:
            async with asyncio.timeout(timeout_s):
                match action:
                    case HttpGet(url, headers):
                        return await self._http_get(url, headers)
                    case TcpSocket(host, port):
                        _, writer = await asyncio.open_connection(host, port)
                        writer.close()
                        return True
                    case Exec(argv):
                        return await _exec(argv, environment, folder)
                    case Sleep(seconds):
                        await asyncio.sleep(seconds)
                        return True
        except (OSError, TimeoutError, aiohttp.ClientError, ValueError):
            return False

    async def _http_get(self, url: str, headers: tuple[tuple[str, str], ...]) -> bool:
        own = {"User-Agent": "kube-probe/1.34", "Connection": "close", **dict(headers)}
        async with self._session.get(url, headers=own, allow_redirects=False) as answer:
            return 200 <= answer.status < 400


async def _exec(argv: tuple[str, ...], environment: Mapping[str, str], folder: Path) -> bool:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
        env=own_environment(environment, folder),
        start_new_session=True,
    )
    try:
        return await process.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
