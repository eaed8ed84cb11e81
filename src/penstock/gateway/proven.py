"""Lists a worker only once it has completed a token, whatever its health check says.

An engine may answer /health and still fail at its first request: a bad model, a driver that does not match. Whoever is
listed anew is asked for one token, again and again until it gives one; who leaves the list must prove itself when it
comes back, for it may be another process. Those proven stay listed meanwhile.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import orjson

from penstock.gateway.discovery import Discovery
from penstock.gateway.relay import Whole
from penstock.gateway.upstream import parse_address
from penstock.gateway.upstream_pool import UpstreamPool
from penstock.gateway.whole import Call, call
from penstock.messages.worker import WorkerRecord

log = logging.getLogger(__name__)

_AGAIN_S = 1.0
_TIMEOUT_S = 30.0  # a first request may compile kernels
_PATIENT_FOR = 10  # tries, after which a worker that still fails is spoken of


class Proven:
    """Another discovery's list, without those that have not served yet (`discovery.Discovery`).

    Args:
        model: named in the request; None: the engine takes none.
    """

    def __init__(self, inner: Discovery, pool: UpstreamPool, model: str | None) -> None:
        self._inner = inner
        self._pool = pool
        self._model = model
        self._listed: dict[str, WorkerRecord] = {}
        self._proven: set[str] = set()
        self._proofs: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    async def watch(self) -> AsyncIterator[Sequence[WorkerRecord]]:
        following = asyncio.create_task(self._follow())
        told: Sequence[WorkerRecord] | None = None
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if following.done():
                    following.result()  # raises what ended it
                records = [record for name, record in self._listed.items() if name in self._proven]
                if records != told:
                    told = records
                    yield records
        finally:
            tasks = [following, *self._proofs.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        try:
            async for records in self._inner.watch():
                self._take({record.id: record for record in records})
        finally:
            self._changed.set()

    def _take(self, records: dict[str, WorkerRecord]) -> None:
        for name, record in self._listed.items():
            if records.get(name) != record:  # gone, or another under its name
                self._proven.discard(name)
                proof = self._proofs.pop(name, None)
                if proof is not None:
                    proof.cancel()
        self._listed = records
        for name, record in records.items():
            if name not in self._proven and name not in self._proofs:
                self._proofs[name] = asyncio.create_task(self._prove(record))
        self._changed.set()

    async def _prove(self, record: WorkerRecord) -> None:
        tries = 0
        while not await self._serves(record):
            tries += 1
            if tries == _PATIENT_FOR:
                log.warning("worker %s is ready and completes no request; it gets none", record.id)
            await asyncio.sleep(_AGAIN_S)
        self._proofs.pop(record.id, None)
        self._proven.add(record.id)
        self._changed.set()

    async def _serves(self, record: WorkerRecord) -> bool:
        address = parse_address(record.url, where=f"worker {record.id}")
        document: dict[str, object] = {"prompt": "ready", "max_tokens": 1}
        if self._model is not None:
            document["model"] = self._model
        body = orjson.dumps(document)
        head = (
            b"POST %b/v1/completions HTTP/1.1\r\nhost: %b\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
        )
        question = Call(head % (address.prefix, address.host_header, len(body)), body, 1 << 20, _TIMEOUT_S)
        answer = await call(self._pool, address, question)
        return isinstance(answer, Whole) and answer.head.status == 200
