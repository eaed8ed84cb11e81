"""The webhook over HTTPS: an AdmissionReview in, an AdmissionReview out."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from penstock.errors import InputError
from penstock.operator.webhook.objects import HEALTH, PATH

log = logging.getLogger(__name__)

MAX_BYTES = 8 << 20  # the API server's own limit is 3 MiB an object, and there are two
Review = Callable[[Mapping[str, Any]], str | None]


def listener(port: int) -> socket.socket:
    """Raises: InputError, if the port is taken."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("0.0.0.0", port))
    except OSError as error:
        made.close()
        raise InputError(
            f"--webhook-port {port}", f"cannot listen there ({error.strerror})", "name a free port"
        ) from error
    return made


async def serve(review: Review, context: ssl.SSLContext, listening: socket.socket) -> None:
    """Until cancelled."""
    config = uvicorn.Config(
        app(review),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=2,
        ssl_context_factory=lambda _config, _default: context,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


def app(review: Review) -> Starlette:
    """The two paths."""

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def asked(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BYTES:
                return PlainTextResponse("too long", status_code=413)
        try:
            document = orjson.loads(body)
            question = document["request"]
            uid = str(question["uid"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return PlainTextResponse("not an AdmissionReview", status_code=400)
        answer: dict[str, Any] = {"uid": uid, "allowed": True}
        try:
            refused = review(question)
        except Exception:
            # As if there were no webhook: what we do not understand is not ours to stop.
            log.exception("reviewing %s %s", question.get("operation"), question.get("resource"))
            refused = None
        if refused is not None:
            log.info("refused: %s", refused)
            answer |= {"allowed": False, "status": {"code": 403, "reason": "Forbidden", "message": refused}}
        said = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        return Response(orjson.dumps(said), media_type="application/json")

    return Starlette(routes=[Route(HEALTH, health), Route(PATH, asked, methods=["POST"])])


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process."""
        yield
