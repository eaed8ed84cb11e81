"""The web port: the live page, its data, and `/metrics`. Read-only; it works offline and asks no other host.

Every answer carries a strict Content-Security-Policy, without `unsafe-inline` and `unsafe-eval`. Plotly would insert
style elements: one of its own, which it leaves be if it finds one of that id marked `no-inline-styles` (its rules then
come from `page/plotly.css`), and one for maps, which it leaves out if it finds its id. What it sets on single elements
goes through the CSSOM, which a policy does not touch.

Requests must name this host as loopback, or as `allowed_hosts` says: else a page of another site could, by a DNS name
that it points here, read what this one shows.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.telemetry.event_stream import EventStream
from penstock.telemetry.feed import Feed
from penstock.telemetry.page_assets import page_asset, page_text, plotly_script, plotly_style_places, plotly_version

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_PAGE_FILES = ("page.css", "plotly.css", "format.js", "charts.js", "figures.js", "parts.js", "live.js", "icon.svg")


def to_json(document: Any) -> bytes:
    """JSON of plain values and frozen messages; NaN becomes null."""
    return orjson.dumps(document)


def create_app(
    feed: Feed,
    *,
    registry: CollectorRegistry | None = None,
    allowed_hosts: Sequence[str] = LOOPBACK,
    events: EventStream | None = None,
) -> Starlette:
    """The web port as an ASGI app.

    Args:
        registry: shown at `/metrics`; without one there is no such path.
        allowed_hosts: names under which it may be asked, without a port; ("*",) for any.
        events: the stream at `/events`, for who wants to bound or close it; `app.state.events` either way.
    """
    stream = events if events is not None else EventStream(feed, to_json=to_json)
    html = (
        page_text("index.html")
        .replace("{plotly}", f"/static/plotly.min.js?v={plotly_version()}")
        .replace("{plotly-styles}", plotly_style_places())
        .encode()
    )

    async def page(request: Request) -> Response:
        return Response(html, media_type="text/html", headers={"Cache-Control": "no-cache"})

    async def history(request: Request) -> Response:
        document = {"run": stream.run, **feed.history()}
        return Response(to_json(document), media_type="application/json", headers={"Cache-Control": "no-store"})

    async def plotly(request: Request) -> Response:
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return FileResponse(plotly_script(), media_type="text/javascript", headers=kept)

    async def metrics(request: Request) -> Response:
        assert registry is not None
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    routes = [
        Route("/", page),
        Route("/history", history),
        Route("/events", stream, methods=["GET"]),
        Route("/static/plotly.min.js", plotly),
        *(Route(f"/static/{name}", _static(name)) for name in _PAGE_FILES),
    ]
    if registry is not None:
        routes.append(Route("/metrics", metrics))
    app = Starlette(routes=routes)
    app.state.events = stream
    app.add_middleware(_Guard, allowed_hosts=frozenset(allowed_hosts))
    return app


def _static(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        asset = page_asset(name)
        return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": "no-cache"})

    return send


class _Guard:
    """Refuses strange hosts and adds the security headers to every answer. Plain ASGI: streams pass untouched."""

    def __init__(self, app: ASGIApp, allowed_hosts: frozenset[str]) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *SECURITY_HEADERS]}
            await send(message)

        app = self._app if self._allows(Request(scope).headers.get("host", "")) else _STRANGER
        await app(scope, receive, send_guarded)

    def _allows(self, host: str) -> bool:
        name = host if host.endswith("]") or ":" not in host else host.rpartition(":")[0]
        return "*" in self._allowed_hosts or name.lower() in self._allowed_hosts


_STRANGER = PlainTextResponse("this page is not known by that host name\n", status_code=421)
