"""Prefill and decode apart, as vLLM's NIXL connector and others like it do. Pure: bodies in, bodies out.

The prompt goes to a prefill worker with one token to generate and `do_remote_decode`; the `kv_transfer_params` of its
answer go, verbatim, into the original body to the decode worker, which reads the KV cache from where they say. If
prefill fails, or decode cannot read the KV, the decode worker gets the original body and does all by itself.

The decode body is the client's own bytes with one member added at its end, so nothing else in it can change.
"""

from typing import Any

import orjson

from penstock.gateway.requests import CompletionRequest, Endpoint

_ASK_PREFILL = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}
_KEY = "kv_transfer_params"


def prefill_body(request: CompletionRequest) -> bytes:
    """What the prefill worker gets: not streamed, one token, keep the KV for a remote decode."""
    document = dict(request.document)
    document.pop("stream_options", None)
    document.pop("min_tokens", None)  # more than one token would be refused
    document["stream"] = False
    document["max_tokens"] = 1
    if request.endpoint is Endpoint.CHAT or "max_completion_tokens" in document:
        document["max_completion_tokens"] = 1
    document[_KEY] = _ASK_PREFILL
    return orjson.dumps(document)


def transfer_params(answer: bytes) -> dict[str, Any] | None:
    """Where the KV is, as the prefill worker's answer tells; None if it does not."""
    try:
        document = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None
    params = document.get(_KEY) if isinstance(document, dict) else None
    return params if isinstance(params, dict) and params else None


def decode_body(request: CompletionRequest, params: dict[str, Any]) -> bytes:
    """What the decode worker gets: the client's body, and where the KV is."""
    if _KEY in request.document:
        return orjson.dumps({**request.document, _KEY: params})
    start = request.body.rstrip()[:-1]  # parsed before: it is an object, so it ends in a brace
    comma = b"," if request.document else b""
    return b'%b%b"%b":%b}' % (start, comma, _KEY.encode(), orjson.dumps(params))
