"""A server with Prometheus' query API, whose answers a test makes: by query, as number, status or bytes."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

Answer = float | None | tuple[int, bytes]


@contextlib.asynccontextmanager
async def fake_prometheus(answer: Callable[[str, Any], Answer]) -> AsyncIterator[str]:
    """Its base URL. Args: answer: of a query and the request's headers; None: no element."""

    async def query(request: web.Request) -> web.Response:
        said = answer((await request.post())["query"], request.headers)
        if isinstance(said, tuple):
            return web.Response(status=said[0], body=said[1])
        result = [] if said is None else [{"metric": {}, "value": [0.0, str(said).replace("nan", "NaN")]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    app = web.Application()
    app.router.add_post("/api/v1/query", query)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
