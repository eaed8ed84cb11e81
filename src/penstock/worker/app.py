"""The worker's HTTP API: OpenAI's and vLLM's paths, and two of its own (`/drain`, `/internal/kv`)."""

import asyncio
import re
import time
import uuid

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.errors import ClientError, GatewayError, Overloaded
from penstock.messages.worker import WorkerState
from penstock.worker.answering import Answering
from penstock.worker.asked import Api, json_object
from penstock.worker.service import WorkerService
from penstock.worker.shapes import error_body

_MIN_BODY_LIMIT = 2**20
_BODY_BYTES_PER_TOKEN = 32  # of the model's context; JSON of a long word or a token id with its comma is far less
_READ_ON = 16  # times the limit, then the connection is cut
_IN_LOOP_BYTES = 128 * 2**10  # larger bodies are read in a thread, so that they hold up no tokens
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,256}")


class WorkerApi:
    """Endpoints over one service."""

    def __init__(self, service: WorkerService) -> None:
        self._service = service
        self._created = int(time.time())
        self._body_limit = max(_MIN_BODY_LIMIT, _BODY_BYTES_PER_TOKEN * service.settings.engine.max_model_len)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat_completions, methods=["POST"]),
                Route("/v1/completions", self.completions, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/tokenize", self.tokenize, methods=["POST"]),
                Route("/health", self.health),
                Route("/metrics", self.metrics),
                Route("/drain", self.drain, methods=["GET", "POST"]),
                Route("/internal/kv/{name}", self.kv, methods=["GET", "DELETE"]),
            ],
            exception_handlers={
                GatewayError: _answer_error,
                HTTPException: _answer_http_error,
                ClientDisconnect: _answer_nobody,
            },
        )

    async def chat_completions(self, request: Request) -> Answering:
        return await self._complete(request, Api.CHAT)

    async def completions(self, request: Request) -> Answering:
        return await self._complete(request, Api.TEXT)

    async def _complete(self, request: Request, api: Api) -> Answering:
        arrived_s = time.monotonic()
        service = self._service
        service.let_in()
        try:
            body = await self._body(request)
            if len(body) > _IN_LOOP_BYTES:
                asked = await asyncio.to_thread(service.reader.read, api, body)
            else:
                asked = service.reader.read(api, body)
            ref = service.remote_ref(asked)
        except BaseException:
            service.let_out()
            raise
        request_id = _request_id(request)
        prefix = "chatcmpl" if api is Api.CHAT else "cmpl"
        return Answering(
            service, asked, ref, answer_id=f"{prefix}-{request_id}", request_id=request_id, arrived_s=arrived_s
        )

    async def models(self, request: Request) -> Response:
        self._service.require_started()
        settings = self._service.settings
        model = {
            "id": settings.model,
            "object": "model",
            "created": self._created,
            "owned_by": "penstock",
            "root": settings.model,
            "parent": None,
            "max_model_len": settings.engine.max_model_len,
        }
        return _json({"object": "list", "data": [model]})

    async def tokenize(self, request: Request) -> Response:
        self._service.require_started()
        document = json_object(await self._body(request))
        api = Api.CHAT if "messages" in document else Api.TEXT
        ids = self._service.reader.prompt_ids(api, document)
        limit = self._service.settings.engine.max_model_len
        return _json({"count": len(ids), "max_model_len": limit, "tokens": ids.tolist(), "token_strs": None})

    async def health(self, request: Request) -> Response:
        """200 only if a request would be taken."""
        state = self._service.state
        return _json({"status": state.value}, status=200 if state is WorkerState.READY else 503)

    async def metrics(self, request: Request) -> Response:
        text = self._service.driver.metrics.exposition()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def drain(self, request: Request) -> Response:
        service = self._service
        if request.method == "POST":
            service.drain()
        draining = service.state is WorkerState.DRAINING
        return _json({"draining": draining, "left": service.left, "pinned": len(service.pinned)})

    async def kv(self, request: Request) -> Response:
        """A decode worker reads a prompt's KV: GET to look, DELETE once it has it."""
        name = request.path_params["name"]
        held = self._service.pinned.look(name)
        if held is None:
            raise ClientError("No KV of that name is held here.", status=404, code="kv_not_found")
        if request.method == "DELETE":
            self._service.pinned.free(name)
        return _json({"prompt_tokens": held.prompt_tokens, "cached_tokens": held.cached_tokens})

    async def _body(self, request: Request) -> bytes:
        """The whole body. One that is too large is read on for a while, so that its sender gets to our answer."""
        limit = self._body_limit
        body, size = bytearray(), 0
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limit:
                body += chunk
            elif size > _READ_ON * limit:
                break
        if size > limit:
            raise ClientError(f"The body is larger than {limit} bytes.", status=413, code="body_too_large")
        return bytes(body)


def _request_id(request: Request) -> str:
    """The client's own, if it is fit to be a header; else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _json(document: object, *, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status_code=status, media_type="application/json")


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    headers = {"x-request-id": _request_id(request)}
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    return Response(error_body(error), status_code=error.status, media_type="application/json", headers=headers)


async def _answer_nobody(request: Request, error: Exception) -> Response:
    """The client left in the middle of its own request: nothing to say, and no fault of ours."""
    return Response(status_code=499)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the OpenAI shape, too."""
    assert isinstance(error, HTTPException)
    return await _answer_error(request, ClientError(error.detail, status=error.status_code))
