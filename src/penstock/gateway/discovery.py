"""Who may be sent requests: fixed URLs, or the file that a supervisor keeps. In a cluster, EndpointSlices come in here.

A `Discovery` says the whole list each time it changes. Only workers that are ready are listed; one that is about to
drain leaves the list first. A list that cannot be read changes nothing: no data is not an empty list.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from penstock.gateway.relay import Whole
from penstock.gateway.upstream import parse_address
from penstock.gateway.upstream_pool import UpstreamPool
from penstock.gateway.whole import call, get
from penstock.messages.worker import Role, WorkerRecord

log = logging.getLogger(__name__)

_FILE_POLL_S = 0.1  # one stat; a new worker or a dead one is seen within a tenth of a second
_HEALTH_POLL_S = 1.0
_HEALTH_TIMEOUT_S = 2.0
_RECORDS = TypeAdapter(tuple[WorkerRecord, ...])


class Discovery(Protocol):
    """Tells who is listed, now and after each change."""

    def watch(self) -> AsyncIterator[Sequence[WorkerRecord]]:
        """The list at once, then again whenever it changed. Never ends by itself."""


class FileDiscovery:
    """Watches a `workers.json`: a JSON list of `WorkerRecord`, replaced atomically by its writer."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def watch(self) -> AsyncIterator[Sequence[WorkerRecord]]:
        seen: tuple[int, ...] | None = None
        trouble = ""  # of this round; said once
        while True:
            said, trouble = trouble, ""
            try:
                stat = self._path.stat()
                stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
                if stamp != seen:
                    document = self._path.read_bytes()  # if this fails, the next round tries again
                    seen = stamp
                    yield parse_records(document)
            except FileNotFoundError:
                trouble = "it is not there yet" if seen is None else "it is gone"
            except (OSError, ValueError) as error:
                trouble = " ".join(str(error).split())
            if trouble not in ("", said):
                log.warning("reading %s: %s; keeping the workers known so far", self._path, trouble)
            await asyncio.sleep(_FILE_POLL_S)


class StaticDiscovery:
    """Fixed URLs, each asked for its health every second: those that answer are listed."""

    def __init__(self, urls: Sequence[str], pool: UpstreamPool) -> None:
        """Raises: InputError, for what is no URL."""
        self._pool = pool
        self._addresses = {url.rstrip("/"): parse_address(url, where="--worker") for url in urls}

    async def watch(self) -> AsyncIterator[Sequence[WorkerRecord]]:
        healthy: dict[str, bool] = {}
        while True:
            answers = await asyncio.gather(*(self._is_healthy(url) for url in self._addresses))
            now = dict(zip(self._addresses, answers, strict=True))
            for url, well in now.items():
                if well != healthy.get(url, True):
                    log.warning("worker %s %s", url, "answers" if well else "does not answer its health check")
            if now != healthy:
                healthy = now
                yield [_fixed(url) for url, well in now.items() if well]
            await asyncio.sleep(_HEALTH_POLL_S)

    async def _is_healthy(self, url: str) -> bool:
        address = self._addresses[url]
        answer = await call(
            self._pool, address, get(address, "/health", limit_bytes=65_536, timeout_s=_HEALTH_TIMEOUT_S)
        )
        if not isinstance(answer, Whole):
            return False
        # Some servers have no /health: any answer but a refusal then counts as life.
        return answer.head.status < 500


def parse_records(document: bytes) -> tuple[WorkerRecord, ...]:
    """Read a list of workers. Raises: ValueError, saying what is wrong in it."""
    try:
        return _RECORDS.validate_json(document)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"])) or "the file"
        raise ValueError(f"{where}: {detail['msg']}") from error


def _fixed(url: str) -> WorkerRecord:
    name = url.removeprefix("http://").replace("/", "-")
    return WorkerRecord(id=name, url=url, component="worker", role=Role.WORKER)
