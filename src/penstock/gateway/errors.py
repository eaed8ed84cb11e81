"""Our own refusals in the OpenAI error shape. What an engine answers is not touched here: it is passed on."""

import math
from http import HTTPStatus

import orjson

from penstock.errors import GatewayError, Overloaded
from penstock.gateway.head import Header, response_head

JSON = b"application/json"


def error_document(error: GatewayError) -> bytes:
    """The body of an error: `{"error": {"message", "type", "code", "param"}}`."""
    shown = {"message": error.message, "type": error.type, "code": error.code, "param": error.param}
    return orjson.dumps({"error": shown})


def error_response(error: GatewayError, *, request_id: bytes = b"", keep_alive: bool = True) -> bytes:
    """A whole response: head and body."""
    headers: list[Header] = []
    if isinstance(error, Overloaded):
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    return json_response(error.status, error_document(error), headers, request_id=request_id, keep_alive=keep_alive)


def json_response(
    status: int,
    body: bytes,
    headers: list[Header] | None = None,
    *,
    request_id: bytes = b"",
    keep_alive: bool = True,
    content_type: bytes = JSON,
) -> bytes:
    """A whole response of our own."""
    fields = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *(headers or [])]
    if request_id:
        fields.append((b"x-request-id", request_id))
    if not keep_alive:
        fields.append((b"connection", b"close"))
    return response_head(status, fields) + body


def internal_error() -> GatewayError:
    """What a client is told when we fail; the log has the rest."""
    return GatewayError(HTTPStatus.INTERNAL_SERVER_ERROR.phrase, code="internal_error")
