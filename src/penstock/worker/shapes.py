"""One request's answer in OpenAI's JSON, as vLLM writes it: whole, or as server-sent events.

One event per token, always, so that whoever counts events counts tokens; several may leave in one write. The fixed
parts of an event are made once per request, so a token costs two concatenations.
"""

from typing import Any

import orjson

from penstock.errors import GatewayError
from penstock.worker.asked import Api, Asked

DONE = b"data: [DONE]\n\n"
_OBJECTS = {Api.CHAT: ("chat.completion", "chat.completion.chunk"), Api.TEXT: ("text_completion", "text_completion")}


def usage(asked: Asked, produced: int, cached_tokens: int) -> dict[str, Any]:
    """Token counts."""
    return {
        "prompt_tokens": asked.prompt_tokens,
        "total_tokens": asked.prompt_tokens + produced,
        "completion_tokens": produced,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }


def whole(
    asked: Asked,
    *,
    answer_id: str,
    created: int,
    model: str,
    cached_tokens: int,
    finish_reason: str,
    kv_transfer: dict[str, Any] | None,
    produced: int,
) -> bytes:
    """The body of an answer that is not streamed."""
    answer = asked.answer
    text = "".join(answer.pieces[:produced])
    choice: dict[str, Any] = {"index": 0}
    if asked.api is Api.CHAT:
        choice["message"] = {"role": "assistant", "content": text, "refusal": None, "tool_calls": []}
    else:
        choice["text"] = text
    choice |= {"logprobs": None, "finish_reason": finish_reason, "stop_reason": answer.stop_reason}
    document: dict[str, Any] = {
        "id": answer_id,
        "object": _OBJECTS[asked.api][0],
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": usage(asked, produced, cached_tokens),
        "kv_transfer_params": kv_transfer,
    }
    if asked.return_token_ids:
        prompt = asked.tokens[: asked.prompt_tokens].tolist()
        choice["token_ids"] = answer.ids[:produced].tolist()
        (document if asked.api is Api.CHAT else choice)["prompt_token_ids"] = prompt
    return orjson.dumps(document)


class EventWriter:
    """Writes the events of one stream."""

    def __init__(self, asked: Asked, *, answer_id: str, created: int, model: str) -> None:
        self._asked = asked
        head = orjson.dumps({"id": answer_id, "object": _OBJECTS[asked.api][1], "created": created, "model": model})
        self._head = b"data: " + head[:-1]
        self._open = self._head + b',"choices":[{"index":0,'
        self._open += b'"delta":{"content":' if asked.api is Api.CHAT else b'"text":'
        self._close_text = b"}" if asked.api is Api.CHAT else b""
        self._plain_end = self._close_text + b',"logprobs":null,"finish_reason":null}]}\n\n'
        self._plain = not (asked.continuous_usage or asked.return_token_ids)

    def opening(self, cached_tokens: int) -> bytes:
        """What comes before the first token: for a chat, whose turn it is."""
        asked = self._asked
        if asked.api is Api.TEXT:
            return b""
        event = self._head + (
            b',"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        )
        if asked.return_token_ids:
            event += b',"prompt_token_ids":' + orjson.dumps(asked.tokens[: asked.prompt_tokens].tolist())
        return event + self._usage(0, cached_tokens) + b"}\n\n"

    def tokens(self, first: int, stop: int, *, cached_tokens: int, finish_reason: str | None) -> bytes:
        """Events of tokens `first` to `stop`; the last of them ends the answer, if there is a reason."""
        pieces = self._asked.answer.pieces
        last = stop - 1 if finish_reason is not None else stop
        if self._plain:
            start, end, dumps = self._open, self._plain_end, orjson.dumps
            out = [start + dumps(pieces[place]) + end for place in range(first, last)]
        else:
            out = [self._token(place, None, cached_tokens) for place in range(first, last)]
        if finish_reason is not None:
            out.append(self._token(stop - 1, finish_reason, cached_tokens))
        return b"".join(out)

    def ending(self, produced: int, cached_tokens: int) -> bytes:
        """What comes after the last token."""
        if not self._asked.include_usage:
            return DONE
        counted = orjson.dumps(usage(self._asked, produced, cached_tokens))
        return self._head + b',"choices":[],"usage":' + counted + b"}\n\n" + DONE

    def _token(self, place: int, finish_reason: str | None, cached_tokens: int) -> bytes:
        asked = self._asked
        answer = asked.answer
        event = self._open + orjson.dumps(answer.pieces[place]) + self._close_text
        event += b',"logprobs":null,"finish_reason":' + orjson.dumps(finish_reason)
        if finish_reason is not None:
            event += b',"stop_reason":' + orjson.dumps(answer.stop_reason)
        if asked.return_token_ids:
            event += b',"token_ids":[%d]' % answer.ids[place]
            if place == 0 and asked.api is Api.TEXT:
                event += b',"prompt_token_ids":' + orjson.dumps(asked.tokens[: asked.prompt_tokens].tolist())
        return event + b"}]" + self._usage(place + 1, cached_tokens) + b"}\n\n"

    def _usage(self, produced: int, cached_tokens: int) -> bytes:
        if not self._asked.continuous_usage:
            return b""
        return b',"usage":' + orjson.dumps(usage(self._asked, produced, cached_tokens))


def error_body(error: GatewayError) -> bytes:
    """An error in the OpenAI shape."""
    fields = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return orjson.dumps({"error": fields})
