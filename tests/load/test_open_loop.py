"""The open loop and its exchanges, against a real server on a socket that answers by script."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from penstock.errors import InputError
from penstock.load.body import Endpoint
from penstock.messages.outcome import Ending
from penstock.workload.arrival import Arrival

TOLERANCE_S = 0.04  # two busy cores, shared


async def answer_at_once(connection, body):
    await connection.head()
    for _ in range(int(body["max_tokens"])):
        await connection.token()
    await connection.end(prompt=len(body["prompt"].split()), output=int(body["max_tokens"]))


def arrivals(*instants_s: float, output_tokens: int = 1) -> list[Arrival]:
    return [Arrival(at_s, 10, output_tokens) for at_s in instants_s]


def test_ttft_and_gaps_are_what_the_server_made_them(try_loop) -> None:
    """First token after 150 ms, then one every 50 ms."""

    async def answer(connection, body):
        await connection.head()
        await asyncio.sleep(0.15)
        await connection.token()
        for _ in range(4):
            await asyncio.sleep(0.05)
            await connection.token()
        await connection.end(prompt=10, output=5, cached=7)

    (outcome,) = try_loop(answer, arrivals(0, output_tokens=5)).outcomes
    assert outcome.ending is Ending.COMPLETED
    assert outcome.ttft_s == pytest.approx(0.15, abs=TOLERANCE_S)
    assert sum(tokens for _, tokens in outcome.itl_s) == 4
    assert sum(gap_s * tokens for gap_s, tokens in outcome.itl_s) == pytest.approx(0.2, abs=TOLERANCE_S)
    assert outcome.e2e_s == pytest.approx(0.35, abs=2 * TOLERANCE_S)
    assert (outcome.prompt_tokens, outcome.prompt_cached_tokens, outcome.output_tokens) == (10, 7, 5)


def test_a_stalled_server_is_charged_for_every_request_that_was_due(try_loop) -> None:
    """No coordinated omission: ten requests were due in the second that it stalled; all were sent, all waited."""
    stalled_until = asyncio.Event()

    async def answer(connection, body):
        if len(stalled_at) == 0:
            stalled_at.append(time.perf_counter())
            asyncio.get_running_loop().call_later(1.0, stalled_until.set)
        await stalled_until.wait()
        await answer_at_once(connection, body)

    stalled_at: list[float] = []
    tried = try_loop(answer, arrivals(*[number / 10 for number in range(10)]))
    first_s = tried.outcomes[0].intended_s
    assert [outcome.ending for outcome in tried.outcomes] == [Ending.COMPLETED] * 10
    for outcome in tried.outcomes:
        assert outcome.sent_s - outcome.intended_s < TOLERANCE_S
        assert outcome.ttft_s == pytest.approx(1.0 - (outcome.intended_s - first_s), abs=2 * TOLERANCE_S)


@pytest.mark.parametrize(
    ("status", "ending"),
    [(429, Ending.REJECTED), (503, Ending.REJECTED), (500, Ending.FAILED), (400, Ending.FAILED), (404, Ending.FAILED)],
)
def test_a_refusal_is_rejected_and_an_error_has_failed(try_loop, status: int, ending: Ending) -> None:
    """429 and 503 say: not now. All else is a failure, with the server's words."""

    async def answer(connection, body):
        await connection.plain(status, {"error": {"message": "no room", "type": "x", "code": None, "param": None}})

    (outcome,) = try_loop(answer, arrivals(0)).outcomes
    assert (outcome.ending, outcome.status) == (ending, status)
    assert outcome.error == f"status {status}: no room"
    assert outcome.ttft_s is None


def test_a_reset_connection_has_failed(try_loop) -> None:
    """After two of five tokens the server aborts the connection."""

    async def answer(connection, body):
        await connection.head()
        await connection.token()
        await asyncio.sleep(0.02)
        await connection.token()
        await asyncio.sleep(0.02)
        connection.reset()

    (outcome,) = try_loop(answer, arrivals(0, output_tokens=5)).outcomes
    assert outcome.ending is Ending.FAILED
    assert "cut after 2 tokens" in (outcome.error or "")
    assert outcome.ttft_s is not None


def test_a_stream_that_ends_early_has_failed(try_loop) -> None:
    """It closes in good order, but no finish reason came: the answer is not whole."""

    async def answer(connection, body):
        await connection.head()
        await connection.token()
        await connection.raw(b"0\r\n\r\n")

    (outcome,) = try_loop(answer, arrivals(0, output_tokens=5)).outcomes
    assert outcome.ending is Ending.FAILED
    assert outcome.error == "the stream ended early, after 1 tokens"


def test_an_error_in_the_stream_has_failed(try_loop) -> None:
    """The status was 200 already; the error came as an event."""

    async def answer(connection, body):
        await connection.head()
        await connection.token()
        await connection.event({"error": {"message": "engine died"}})
        await connection.raw(b"0\r\n\r\n")

    (outcome,) = try_loop(answer, arrivals(0)).outcomes
    assert (outcome.ending, outcome.error) == (Ending.FAILED, "engine died")


def test_an_answer_without_a_token_has_failed(try_loop) -> None:
    """A well-formed stream of nothing is no answer."""

    async def answer(connection, body):
        await connection.head()
        await connection.end()

    (outcome,) = try_loop(answer, arrivals(0)).outcomes
    assert (outcome.ending, outcome.error) == (Ending.FAILED, "the answer has no token")


def test_an_answer_that_is_no_stream_has_failed(try_loop) -> None:
    """Its TTFT could not be told."""

    async def answer(connection, body):
        await connection.plain(200, {"choices": [{"text": "hello"}]})

    (outcome,) = try_loop(answer, arrivals(0)).outcomes
    assert outcome.ending is Ending.FAILED
    assert "not with a stream" in (outcome.error or "")


def test_a_server_that_never_answers_is_given_up(try_loop) -> None:
    """Each wait is bounded, so the run ends."""

    async def answer(connection, body):
        await asyncio.sleep(30)

    began_s = time.perf_counter()
    (outcome,) = try_loop(answer, arrivals(0), timeout_s=0.3).outcomes
    assert (outcome.ending, outcome.error) == (Ending.FAILED, "no end within 0.3 s")
    assert time.perf_counter() - began_s < 5


def test_nobody_listening_is_a_failure(try_loop, server_context) -> None:
    """The port was closed before the first request."""

    async def reset(connection, body):
        connection.reset()

    (outcome,) = try_loop(reset, arrivals(0)).outcomes
    assert outcome.ending is Ending.FAILED
    assert "cut" in (outcome.error or "")


def test_a_server_that_refuses_exact_lengths_is_asked_without(try_loop) -> None:
    """As servers do that do not know ignore_eos: the request still succeeds, and the next one is not refused."""

    async def answer(connection, body):
        if "ignore_eos" in body:
            await connection.plain(400, {"error": {"message": "Unrecognized request argument supplied: ignore_eos"}})
        else:
            await answer_at_once(connection, body)

    tried = try_loop(answer, arrivals(0, 0.2))
    assert [outcome.ending for outcome in tried.outcomes] == [Ending.COMPLETED] * 2
    assert ["ignore_eos" in body for body in tried.server.bodies] == [True, False, False]
    assert not tried.exchange.exact_length


def test_another_400_is_not_asked_again(try_loop) -> None:
    """A wrong request stays wrong."""

    async def answer(connection, body):
        await connection.plain(400, {"error": {"message": "prompt too long"}})

    tried = try_loop(answer, arrivals(0))
    assert len(tried.server.bodies) == 1
    assert tried.exchange.exact_length


def test_past_the_bound_requests_fail_unsent(try_loop) -> None:
    """Two may be in flight: of four at once two are never sent, and are counted as failed."""

    async def answer(connection, body):
        await asyncio.sleep(0.2)
        await answer_at_once(connection, body)

    tried = try_loop(answer, arrivals(0, 0, 0, 0), max_in_flight=2)
    endings = [outcome.ending for outcome in tried.outcomes]
    assert sorted(endings) == [Ending.COMPLETED] * 2 + [Ending.FAILED] * 2
    assert len(tried.server.bodies) == 2
    assert tried.loop.progress.offered == 4
    assert any("--max-in-flight" in (outcome.error or "") for outcome in tried.outcomes)


def test_a_late_client_says_so_and_still_counts_from_the_intended_instant(try_loop) -> None:
    """We block our own loop for 0.3 s: the request due meanwhile is late by us, and its TTFT includes that."""

    def block(outcome) -> None:
        if outcome.id == "test-0":
            time.sleep(0.3)

    tried = try_loop(answer_at_once, arrivals(0, 0.1), on_outcome=block)
    late = tried.outcomes[1]
    assert late.sent_s - late.intended_s > 0.15
    assert late.ttft_s is not None
    assert late.ttft_s > 0.15
    assert tried.loop.lateness.report(0).was_bottleneck


def test_a_healthy_client_is_not_late(try_loop) -> None:
    """Fifty requests in a second go out within a few milliseconds of their instants, never early."""
    tried = try_loop(answer_at_once, arrivals(*[number / 50 for number in range(50)]))
    late_s = sorted(outcome.sent_s - outcome.intended_s for outcome in tried.outcomes)
    assert late_s[0] >= 0
    assert late_s[25] < 0.02
    assert tried.loop.lateness.report(0).late_p50_s < 0.02


def test_stopping_counts_neither_what_was_in_flight_nor_what_was_not_due(try_loop) -> None:
    """Ctrl-C is no fault of the server."""

    async def answer(connection, body):
        await asyncio.sleep(0.5 if body["max_tokens"] == 2 else 0)
        await answer_at_once(connection, body)

    workload = [Arrival(0, 10, 1), Arrival(0.05, 10, 2), Arrival(60, 10, 1)]
    tried = try_loop(answer, workload, stop_after_s=0.3)
    assert [outcome.ending for outcome in tried.outcomes] == [Ending.COMPLETED]
    assert tried.loop.abandoned == 1


def test_a_workload_that_breaks_off_still_gets_its_answers(try_loop) -> None:
    """The error comes after the tail, so what was measured is not lost."""

    def broken() -> Iterator[Arrival]:
        yield Arrival(0, 10, 1)
        raise InputError("trace line 2", "not JSON", "mend it")

    tried = try_loop(answer_at_once, broken())
    assert isinstance(tried.error, InputError)
    assert [outcome.ending for outcome in tried.outcomes] == [Ending.COMPLETED]


def test_a_fault_of_ours_is_raised_and_ends_the_run(try_loop) -> None:
    """As when the disk is full: results must not go missing in silence."""

    def full(outcome) -> None:
        raise OSError(28, "No space left on device")

    tried = try_loop(answer_at_once, arrivals(0, 60), on_outcome=full)
    assert isinstance(tried.error, OSError)


def test_a_chat_is_asked_as_a_chat(try_loop) -> None:
    """One user message; the role that opens the stream is no token."""

    async def answer(connection, body):
        await connection.head()
        await connection.event({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
        await asyncio.sleep(0.1)
        await connection.event({"choices": [{"delta": {"content": "hi"}, "finish_reason": None}]})
        await connection.end(prompt=10, output=1)

    tried = try_loop(answer, arrivals(0), endpoint=Endpoint.CHAT)
    (outcome,) = tried.outcomes
    assert outcome.ending is Ending.COMPLETED
    assert outcome.ttft_s == pytest.approx(0.1, abs=TOLERANCE_S)
    (message,) = tried.server.bodies[0]["messages"]
    assert message["role"] == "user"
    assert len(message["content"].split()) == 10


def test_a_request_asks_for_a_stream_of_the_length_that_the_workload_says(try_loop) -> None:
    """Streamed, with usage, neither shorter nor longer."""
    tried = try_loop(answer_at_once, arrivals(0, output_tokens=3))
    (body,) = tried.server.bodies
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert body["max_tokens"] == body["min_tokens"] == 3
    assert body["ignore_eos"] is True
    assert tried.outcomes[0].output_tokens == 3
