"""Prefill and decode apart: what each is sent, and what happens when one fails."""

import asyncio

import orjson
import pytest
from gateway_fakes import (
    CHAT,
    STREAM,
    Asked,
    Behaviour,
    FakeWorker,
    answer,
    completion,
    run,
    running,
    says,
    until,
    whole,
)
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.disaggregate import decode_body, prefill_body
from penstock.gateway.requests import Endpoint, parse_completion
from penstock.messages.worker import Role

PARAMS = {"do_remote_prefill": True, "remote_engine_id": "e", "remote_block_ids": [1, 2], "remote_host": "h"}
PREFILLED = says(whole({**completion(cached=5), "kv_transfer_params": PARAMS}))


def pair(prefill: list[Behaviour], decode: list[Behaviour]) -> tuple[FakeWorker, FakeWorker]:
    return FakeWorker(prefill, id="p", role=Role.PREFILL), FakeWorker(decode, id="d", role=Role.DECODE)


@pytest.mark.parametrize("document", [CHAT, {**STREAM, "stream_options": {"include_usage": True}}])
def test_prefill_computes_one_token_and_decode_reads_its_kv(document: dict) -> None:
    async def test() -> None:
        prefill, decode = pair([PREFILLED], [answer])
        async with running(prefill, decode) as gateway:
            reply = await gateway.post(document, headers="x-request-id: same\r\n")
            assert (reply.status, reply.clean, reply.headers["x-penstock-worker"]) == (200, True, "d")
            first = prefill.asked[0].json
            assert first["stream"] is False
            assert "stream_options" not in first
            assert (first["max_tokens"], first["max_completion_tokens"]) == (1, 1)
            asked_for = first["kv_transfer_params"]
            assert (asked_for["do_remote_decode"], asked_for["do_remote_prefill"]) == (True, False)
            assert decode.asked[0].json == {**document, "kv_transfer_params": PARAMS}
            assert prefill.asked[0].headers["x-request-id"] == decode.asked[0].headers["x-request-id"] == "same"
            assert await gateway.metric("prompt_tokens_cached_total") == 5, "prefill's own count is the one that holds"

    run(test())


@pytest.mark.parametrize("fault", ["refused", "closed", "draining", "error", "no params"])
def test_when_prefill_fails_decode_does_it_all(fault: str) -> None:
    async def test() -> None:
        faults = {
            "refused": says(b""),
            "closed": says(b"", "close"),
            "draining": says(whole({"error": {"code": "draining"}}, "503 Service Unavailable")),
            "error": says(whole({}, "500 Oh")),
            "no params": says(whole(completion())),
        }
        prefill, decode = pair([faults[fault]], [answer])
        async with running(prefill, decode) as gateway:
            if fault == "refused":
                await prefill.stop()
            reply = await gateway.post(STREAM)
            assert (reply.status, reply.clean) == (200, True)
            assert decode.asked[0].json == STREAM
            assert await gateway.metric("prefill_fallbacks_total") == 1

    run(test())


def test_a_prefill_worker_that_refuses_one_request_is_asked_for_the_next() -> None:
    async def test() -> None:
        full = says(whole({"error": {"code": "queue_full"}}, "503 Service Unavailable"))
        prefill, decode = pair([full, PREFILLED], [answer])
        async with running(prefill, decode) as gateway:
            for _ in range(2):
                assert (await gateway.post(CHAT)).status == 200
            assert [("kv_transfer_params" in asked.json) for asked in decode.asked] == [False, True]

    run(test())


def test_a_request_that_waits_after_its_prefill_failed_is_nobodys_load() -> None:
    async def test() -> None:
        async def all_go(asked: Asked) -> None:
            gateway.discovery.say([])
            await until(lambda: not gateway.gateway.front.routing.members)
            asked.writer.write(whole({"error": {"code": "draining"}}, "503 Service Unavailable"))

        prefill, decode = pair([all_go], [answer])
        async with running(prefill, decode) as gateway:
            asking = asyncio.ensure_future(gateway.post(CHAT))
            await until(lambda: len(gateway.gateway.front.room) == 1)
            assert gateway.gateway.front.routing.router.in_flight == 0
            gateway.discovery.say([decode.record])
            assert (await asking).status == 200

    run(test())


def test_another_prefill_worker_is_tried_before_decode_does_it_all() -> None:
    async def test() -> None:
        prefill, decode = pair([says(b"", "close")], [answer])
        spare = FakeWorker([PREFILLED], id="p2", role=Role.PREFILL)
        async with running(prefill, spare, decode) as gateway:
            for _ in range(2):
                assert (await gateway.post(CHAT)).status == 200
            assert len(spare.asked) == 2
            assert all("kv_transfer_params" in asked.json for asked in decode.asked)

    run(test())


def test_when_the_kv_cannot_be_read_decode_computes_the_prompt() -> None:
    async def test() -> None:
        async def lost_kv(asked: Asked) -> None:
            if "kv_transfer_params" in asked.json:
                asked.writer.write(whole({"error": {"message": "no kv"}}, "500 Internal Server Error"))
            else:
                await answer(asked)

        prefill, decode = pair([PREFILLED], [lost_kv])
        async with running(prefill, decode) as gateway:
            reply = await gateway.post(CHAT)
            assert reply.status == 200
            assert [("kv_transfer_params" in asked.json) for asked in decode.asked] == [True, False]
            assert await gateway.metric('retries_total{reason="kv_transfer"}') == 1

    run(test())


def test_an_error_that_is_the_requests_own_reaches_the_client_from_decode() -> None:
    async def test() -> None:
        dislikes = says(whole({"error": {"message": "too long"}}, "400 Bad Request"))
        prefill, decode = pair([dislikes], [dislikes])
        async with running(prefill, decode) as gateway:
            reply = await gateway.post(CHAT)
            assert (reply.status, reply.json["error"]["message"]) == (400, "too long")

    run(test())


def test_without_a_prefill_worker_decode_serves_alone_and_without_decode_requests_wait() -> None:
    async def test() -> None:
        _, decode = pair([], [answer])
        async with running(decode) as gateway:
            assert (await gateway.post(CHAT)).status == 200
        prefill, _ = pair([PREFILLED], [])
        async with running(prefill, hold_timeout_s=0.05) as gateway:
            assert (await gateway.post(CHAT)).status == 503

    run(test())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=8) | st.just("kv_transfer_params"), JSON, max_size=5), st.sampled_from(["", " \n"])
)
def test_decode_gets_the_clients_own_bytes_and_one_member_more(document: dict, space: str) -> None:
    body = space.encode() + orjson.dumps(document, option=orjson.OPT_INDENT_2) + space.encode()
    parsed = parse_completion(Endpoint.COMPLETION, body)
    made = decode_body(parsed, PARAMS)
    assert orjson.loads(made) == {**document, "kv_transfer_params": PARAMS}
    if "kv_transfer_params" not in document:
        assert made.startswith(body.rstrip()[:-1])
    assert orjson.loads(prefill_body(parsed))["max_tokens"] == 1
