"""The answer to `GET /v1/models`: the configured model, else what the workers tell."""

import asyncio
import time

import orjson

from penstock.gateway.relay import Whole
from penstock.gateway.routing import Routing
from penstock.gateway.upstream_pool import UpstreamPool
from penstock.gateway.whole import call, get

_LIMIT_BYTES = 1024 * 1024
_TIMEOUT_S = 5.0
_MODELS_MOST = 1000


class ModelList:
    """Models by name. With a configured name it never asks anybody, so it answers with no worker too."""

    def __init__(self, name: str | None, routing: Routing, pool: UpstreamPool) -> None:
        self._name = name
        self._routing = routing
        self._pool = pool
        self._created = int(time.time())
        self._known: list[dict[str, object]] = []  # the last that a worker told
        self._asked_turnover = -1
        self._asking = asyncio.Lock()

    async def document(self) -> bytes:
        """The whole list as JSON."""
        if self._name is not None:
            models = [{"id": self._name, "object": "model", "created": self._created, "owned_by": "penstock"}]
            return orjson.dumps({"object": "list", "data": models})
        async with self._asking:  # many clients, one question
            if self._asked_turnover != self._routing.turnover:
                await self._ask()
        return orjson.dumps({"object": "list", "data": self._known})

    async def _ask(self) -> None:
        """Ask the workers in turn until one answers: all of a deployment serve the same model."""
        turnover = self._routing.turnover
        for member in self._routing.members:
            what = get(member.address, "/v1/models", limit_bytes=_LIMIT_BYTES, timeout_s=_TIMEOUT_S)
            answer = await call(self._pool, member.address, what)
            models = _models(answer.body) if isinstance(answer, Whole) and answer.head.status == 200 else None
            if models is not None:
                self._known, self._asked_turnover = models, turnover
                return


def _models(body: bytes) -> list[dict[str, object]] | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        return None
    return [model for model in data[:_MODELS_MOST] if isinstance(model, dict) and isinstance(model.get("id"), str)]
