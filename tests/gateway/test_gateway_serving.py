"""What a client gets when all goes well, and what workers get."""

import asyncio
import json

import pytest
from gateway_fakes import CHAT, STREAM, Asked, FakeWorker, read_reply, request, run, running, says, whole

from penstock.messages.worker import Role


def test_a_completion_passes_through_unchanged() -> None:
    async def test() -> None:
        worker = FakeWorker()
        async with running(worker) as gateway:
            body = b'{ "model":"tiny",  "messages":[], "odd": [1.50, "\xc3\xa9"] }'
            reply = await gateway.send(request(body, headers="authorization: Bearer k\r\naccept-encoding: gzip\r\n"))
            assert (reply.status, reply.json["choices"][0]["message"]["content"]) == (200, "hello")
            asked = worker.asked[0]
            assert asked.body == body
            assert asked.headers["authorization"] == "Bearer k"
            assert asked.headers["host"] == f"127.0.0.1:{worker.port}"
            assert "accept-encoding" not in asked.headers
            assert reply.headers["x-penstock-worker"] == "w"

    run(test())


def test_a_stream_passes_byte_for_byte() -> None:
    async def test() -> None:
        async with running(FakeWorker()) as gateway:
            reply = await gateway.post(STREAM)
            assert reply.clean
            assert reply.headers["content-type"].startswith("text/event-stream")
            events = [json.loads(line[6:]) for line in reply.body.split(b"\n\n") if line.startswith(b"data: {")]
            assert [e["choices"][0]["delta"].get("content") for e in events[:-1]] == ["", "one", "two", "three"]
            assert reply.body.endswith(b"data: [DONE]\n\n")

    run(test())


def test_a_connection_serves_many_requests_in_order_even_pipelined() -> None:
    async def test() -> None:
        async with running(FakeWorker()) as gateway:
            reader, writer = await gateway.connect()
            writer.write(
                b"".join(
                    request(document, headers=f"x-request-id: r{n}\r\n")
                    for n, document in enumerate([CHAT, STREAM, CHAT])
                )
            )
            replies = [await read_reply(reader) for _ in range(3)]
            assert [reply.headers["x-request-id"] for reply in replies] == ["r0", "r1", "r2"]
            assert all(reply.clean and reply.status == 200 for reply in replies)
            writer.close()

    run(test())


def test_workers_are_asked_over_kept_connections() -> None:
    async def test() -> None:
        worker = FakeWorker()
        async with running(worker, scrape_interval_s=60) as gateway:
            for _ in range(5):
                await gateway.post(CHAT)
            assert len({asked.connection for asked in worker.asked}) == 1

    run(test())


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("a b", False), ("x" * 200, False), ("", False)])
def test_a_request_id_is_kept_if_valid_else_made(given: str, kept: bool) -> None:
    async def test() -> None:
        worker = FakeWorker()
        async with running(worker) as gateway:
            reply = await gateway.post(CHAT, headers=f"x-request-id: {given}\r\n")
            told = reply.headers["x-request-id"]
            assert (told == given) is kept
            assert worker.asked[0].headers["x-request-id"] == told
            assert 0 < len(told) <= 128

    run(test())


def test_hop_by_hop_headers_stop_here() -> None:
    async def test() -> None:
        worker = FakeWorker(
            [says(whole({}, extra="connection: x-private\r\nx-private: 1\r\nx-public: 2\r\nkeep-alive: 9\r\n"))]
        )
        async with running(worker) as gateway:
            reply = await gateway.post(
                CHAT, headers="connection: x-mine\r\nx-mine: 1\r\nte: trailers\r\nx-yours: 2\r\n"
            )
            assert {"x-private", "keep-alive"}.isdisjoint(reply.headers)
            assert reply.headers["x-public"] == "2"
            assert {"x-mine", "te", "connection"}.isdisjoint(worker.asked[0].headers)
            assert worker.asked[0].headers["x-yours"] == "2"

    run(test())


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "422 Unprocessable", "500 Oh", "501 No"])
def test_an_error_of_the_engine_is_passed_on_as_it_is(status: str) -> None:
    async def test() -> None:
        worker = FakeWorker([says(whole({"error": {"message": "mine"}}, status))])
        async with running(worker, FakeWorker(id="other")) as gateway:
            replies = [await gateway.post(CHAT) for _ in range(2)]
            assert int(status[:3]) in [reply.status for reply in replies]
            told = next(reply for reply in replies if reply.status != 200)
            assert told.json == {"error": {"message": "mine"}}
            assert len(worker.asked) == 1

    run(test())


def test_a_client_of_http_1_0_gets_a_plain_body_that_ends_with_the_connection() -> None:
    async def test() -> None:
        async with running(FakeWorker()) as gateway:
            reply = await gateway.send(request(STREAM, version="1.0"))
            assert "transfer-encoding" not in reply.headers
            assert reply.headers["connection"] == "close"
            assert reply.body.startswith(b"data: ")
            assert reply.body.endswith(b"data: [DONE]\n\n")

    run(test())


def test_a_worker_that_ends_its_stream_by_closing_is_framed_anew() -> None:
    async def test() -> None:
        head = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        worker = FakeWorker(
            [says(head + b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n', "close")]
        )
        async with running(worker) as gateway:
            reply = await gateway.post(STREAM)
            assert reply.clean
            assert reply.body.endswith(b"data: [DONE]\n\n")

    run(test())


def test_expect_100_continue_is_answered_before_the_body_is_sent() -> None:
    async def test() -> None:
        async with running(FakeWorker()) as gateway:
            reader, writer = await gateway.connect()
            whole_request = request(CHAT, headers="expect: 100-continue\r\n")
            head, _, body = whole_request.partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n")
            assert (await read_reply(reader)).status == 100
            writer.write(body)
            assert (await read_reply(reader)).status == 200
            writer.close()

    run(test())


def test_a_chunked_request_reaches_the_worker_with_a_length() -> None:
    async def test() -> None:
        worker = FakeWorker()
        async with running(worker) as gateway:
            body = json.dumps(CHAT).encode()
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:9], body[9:]))
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n"
            reply = await gateway.send(head + chunks + b"0\r\n\r\n")
            assert reply.status == 200
            assert worker.asked[0].body == body
            assert "transfer-encoding" not in worker.asked[0].headers

    run(test())


def test_trailers_do_not_become_headers_on_either_side() -> None:
    async def test() -> None:
        body = json.dumps(CHAT).encode()
        answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nset-cookie: b\r\n\r\n"
        worker = FakeWorker([says(answer)])
        async with running(worker) as gateway:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n"
            reply = await gateway.send(head + b"%x\r\n%b\r\n0\r\nauthorization: a\r\n\r\n" % (len(body), body))
            assert (reply.status, reply.body) == (200, b"{}")
            assert "authorization" not in worker.asked[0].headers
            assert "set-cookie" not in reply.headers

    run(test())


def test_a_stream_is_relayed_as_it_comes_not_at_its_end() -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def slow(asked: Asked) -> None:
            asked.writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            asked.writer.write(b"a\r\ndata: {1}\n\r\n")
            await go_on.wait()
            asked.writer.write(b"0\r\n\r\n")

        async with running(FakeWorker([slow])) as gateway:
            reader, writer = await gateway.connect()
            writer.write(request(STREAM))
            await reader.readuntil(b"data: {1}")
            go_on.set()
            await reader.readuntil(b"0\r\n\r\n")
            writer.close()

    run(test())


def test_chunks_in_odd_pieces_arrive_whole() -> None:
    async def test() -> None:
        async def pieces(asked: Asked) -> None:
            stream = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            stream += b'21;x=y\r\ndata: {"choices":[{"delta":{}}]}\n\r\n2\r\n\nd\r\nd\r\nata: [DONE]\n\n\r\n'
            stream += b"0\r\ntrailer: t\r\n\r\n"
            for index in range(len(stream)):
                asked.writer.write(stream[index : index + 1])
                await asked.writer.drain()
                await asyncio.sleep(0)

        worker = FakeWorker([pieces])
        async with running(worker) as gateway:
            reader, writer = await gateway.connect()
            writer.write(request(STREAM))
            raw = await reader.readuntil(b"0\r\ntrailer: t\r\n\r\n")
            assert b"data: [DONE]" in raw.replace(b"\r\nd\r\n", b"")
            writer.write(request(CHAT))  # the connection lives on
            worker.script = [says(whole({}))]
            assert (await read_reply(reader)).status == 200
            writer.close()

    run(test())


def test_models_are_what_the_workers_tell_unless_one_is_named() -> None:
    async def test() -> None:
        async with running(FakeWorker(models=("a", "b"))) as gateway:
            assert [model["id"] for model in (await gateway.get("/v1/models")).json["data"]] == ["a", "b"]
        async with running(model="named") as gateway:
            assert [model["id"] for model in (await gateway.get("/v1/models")).json["data"]] == ["named"]

    run(test())


def test_one_worker_that_tells_its_models_is_enough_and_is_asked_once() -> None:
    async def test() -> None:
        mute, told = FakeWorker(models=()), FakeWorker(models=("a",), id="w2")
        async with running(told, mute) as gateway:
            replies = await asyncio.gather(*(gateway.get("/v1/models") for _ in range(5)))
            assert [[model["id"] for model in reply.json["data"]] for reply in replies] == [["a"]] * 5
            assert (told.models_told, mute.models_told) == (1, 0)

    run(test())


@pytest.mark.parametrize("body", ["", "content-length: 5\r\n\r\nhello"])
def test_head_is_answered_as_get_without_a_body_and_a_body_is_no_matter(body: str) -> None:
    async def test() -> None:
        async with running(FakeWorker(), model="m") as gateway:
            for path, status in (("/health", 200), ("/v1/models", 200), ("/nothing", 404)):
                reader, writer = await gateway.connect()
                writer.write(f"HEAD {path} HTTP/1.1\r\nhost: g\r\n{body or chr(13) + chr(10)}".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                assert b" %d " % status in head
                assert b"content-length: 0" not in head
                writer.write(b"GET /live HTTP/1.1\r\nhost: g\r\n\r\n")
                assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n", "no body was in between"
                writer.close()

    run(test())


def test_health_is_200_only_while_a_worker_can_answer() -> None:
    async def test() -> None:
        async with running() as gateway:
            refused = await gateway.get("/health")
            assert (refused.status, refused.json["error"]["code"]) == (503, "no_worker_ready")
            assert int(refused.headers["retry-after"]) > 0
            assert (await gateway.get("/live")).status == 200
        async with running(FakeWorker()) as gateway:
            assert (await gateway.get("/health")).status == 200
        async with running(FakeWorker(role=Role.PREFILL)) as gateway:
            assert (await gateway.get("/health")).status == 503

    run(test())


@pytest.mark.parametrize(
    ("line", "status"),
    [("GET /nothing", 404), ("GET /v1/completions", 405), ("POST /health", 405), ("CONNECT elsewhere:443", 405)],
)
def test_what_is_not_offered_is_refused_in_the_openai_shape(line: str, status: int) -> None:
    async def test() -> None:
        async with running() as gateway:
            reply = await gateway.send(f"{line} HTTP/1.1\r\nhost: g\r\ncontent-length: 0\r\n\r\n".encode())
            assert reply.status == status
            assert set(reply.json["error"]) == {"message", "type", "code", "param"}

    run(test())


def test_an_offer_to_upgrade_is_ignored_and_the_connection_goes_on() -> None:
    async def test() -> None:
        async with running(FakeWorker()) as gateway:
            reader, writer = await gateway.connect()
            writer.write(request(CHAT, headers="connection: upgrade\r\nupgrade: h2c\r\n") + request(CHAT))
            assert [(await read_reply(reader)).status for _ in range(2)] == [200, 200]
            writer.close()

    run(test())


@pytest.mark.parametrize("document", [CHAT, STREAM], ids=["whole", "stream"])
def test_the_router_is_told_whether_a_first_token_will_be_seen(document: dict) -> None:
    async def test() -> None:
        async with running(FakeWorker()) as gateway:
            routing, routed = gateway.gateway.front.routing, []
            choose = routing.choose
            routing.choose = lambda request, now_s: routed.append(request) or choose(request, now_s)  # type: ignore
            await gateway.post(document)
            assert [request.streams for request in routed] == [document is STREAM]

    run(test())


def test_the_choice_explains_itself_on_request() -> None:
    async def test() -> None:
        async with running(FakeWorker(id="a"), FakeWorker(id="b")) as gateway:
            for document in (CHAT, STREAM):
                reply = await gateway.post(document, headers="x-penstock-explain: 1\r\n")
                told = json.loads(reply.headers["x-penstock-explain"])
                assert told["choice"]["worker"] == reply.headers["x-penstock-worker"]
                assert [p["worker"] for p in told["prices"] if p["chosen"]] == [reply.headers["x-penstock-worker"]]
                assert {price["worker"] for price in told["prices"]} == {"a", "b"}
            assert "x-penstock-explain" not in (await gateway.post(CHAT)).headers

    run(test())
