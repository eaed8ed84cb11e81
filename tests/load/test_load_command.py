"""`penstock load` as its users run it: a process, a server on a socket, one document on stdout, an exit code."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LOAD = [sys.executable, "-m", "penstock.cli.program", "load"]


@contextmanager
def background(server_context: Callable[..., "object"], answer: Callable[..., Awaitable[None]]) -> Iterator[str]:
    """The fake server in a thread of its own, while a real client process runs."""
    loop = asyncio.new_event_loop()
    up, base, done = threading.Event(), [""], asyncio.Event()

    async def serve() -> None:
        async with server_context(answer) as fake:
            base[0] = fake.base
            up.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(10)
    try:
        yield base[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_asyncgens())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


async def answer_at_once(connection, body) -> None:
    await connection.head()
    for _ in range(int(body["max_tokens"])):
        await connection.token()
    await connection.end(prompt=len(body["prompt"].split()), output=int(body["max_tokens"]))


async def fail_every_second(connection, body) -> None:
    if body["max_tokens"] % 2:
        await connection.plain(500, {"error": {"message": "broken"}})
    else:
        await answer_at_once(connection, body)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    rows = [{"arrival_s": number / 10, "input_tokens": 20, "output_tokens": number + 1} for number in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LOAD, *map(str, args)], capture_output=True, text=True, timeout=50, check=False)


def test_the_document_is_all_of_stdout_and_as_interfaces_say(server_context, trace: Path, tmp_path: Path) -> None:
    """One JSON document; the same in summary.json; a line a request in requests.jsonl; exit code 0."""
    with background(server_context, answer_at_once) as base:
        ran = run(base + "/v1", "--trace", trace, "--json", "--out", tmp_path / "out", "--window-s", 0.3)
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["requests"] == {"offered": 6, "completed": 6, "rejected": 0, "failed": 0}
    assert document["tokens"] == {"prompt": 120, "prompt_cached": 0, "output": 21}
    assert document["slo"]["windows"] == 2
    assert document["slo"]["attainment"] == 1.0
    assert set(document) == {
        *("requests", "ttft_s", "itl_s", "e2e_s", "tokens", "slo", "wall_s", "requests_per_wall_s", "client")
    }
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == document
    lines = (tmp_path / "out" / "requests.jsonl").read_text().splitlines()
    assert len(lines) == 6
    assert {json.loads(line)["ending"] for line in lines} == {"completed"}


def test_failed_requests_make_the_exit_code_1(server_context, trace: Path) -> None:
    """It ran, and the answer is bad. The table fits 80 columns."""
    with background(server_context, fail_every_second) as base:
        ran = run(base, "--trace", trace)
    assert ran.returncode == 1
    assert "6 offered: 3 completed, 0 rejected, 3 failed" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_ctrl_c_prints_what_there_is(server_context, tmp_path: Path) -> None:
    """The rest of the trace is not sent; what ended is counted."""
    path = tmp_path / "long.jsonl"
    rows = [{"arrival_s": at_s, "input_tokens": 20, "output_tokens": 1} for at_s in (0, 0.1, 600)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    came = threading.Semaphore(0)

    async def answer(connection, body) -> None:
        await answer_at_once(connection, body)
        came.release()

    with background(server_context, answer) as base:
        process = subprocess.Popen(
            [*LOAD, base, "--trace", str(path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert came.acquire(timeout=20)
            assert came.acquire(timeout=20)
            threading.Event().wait(0.3)  # until the client has read the last answer
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["requests"]["completed"] == 2


def test_the_key_comes_from_the_environment_and_is_not_shown(server_context, trace: Path) -> None:
    """Nor is a prompt."""
    with background(server_context, fail_every_second) as base:
        ran = subprocess.run(
            [*LOAD, base, "--trace", str(trace), "--api-key-env", "SOME_KEY"],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            env={**os.environ, "SOME_KEY": "sk-secret"},
        )
    assert ran.returncode == 1
    assert "sk-secret" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("http://127.0.0.1:9", "--trace", "TRACE"), "does not answer"),
        (("ftp://x", "--trace", "TRACE"), "is not the base of a server"),
        (("http://127.0.0.1:99999", "--trace", "TRACE"), "is not the base of a server"),
        (("http://127.0.0.1:9", "--trace", "none.csv"), "no such trace"),
        (("http://127.0.0.1:9", "--trace", "TRACE", "--start-s", "99"), "no request in that stretch"),
        (("http://127.0.0.1:9", "--trace", "TRACE", "--speed", "0"), "--speed"),
        (("http://127.0.0.1:9", "--trace", "TRACE", "--speed", "nan"), "--speed"),
        (("http://127.0.0.1:9", "--trace", "TRACE", "--ttft-s", "0"), "--ttft-s"),
        (("http://127.0.0.1:9", "--trace", "TRACE", "--percentile", "100"), "--percentile"),
        (("http://127.0.0.1:9", "--trace", "TRACE", "--api-key-env", "NOT_SET_AT_ALL"), "is not set"),
        (("http://127.0.0.1:9", "--trace", "TRACE", "--tokenizer", "/none"), "tokenizer"),
        (("http://127.0.0.1:9", "--trace", "TRACE", "--out", "/dev/null/x"), "cannot be written"),
        (("http://127.0.0.1:9",), "--trace"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(args: tuple[str, ...], says: str, trace: Path) -> None:
    """Never a traceback, nothing on stdout."""
    ran = run(*(str(trace) if arg == "TRACE" else arg for arg in args))
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert says in re.sub(r"\s+", " ", ran.stderr)
    assert len(ran.stderr.strip().splitlines()) == 1
    assert "Traceback" not in ran.stderr


def test_a_trace_that_breaks_off_still_gives_its_result(server_context, trace: Path) -> None:
    """The document is there, the error names the line, and the exit code says that the input is wrong."""
    trace.write_text(trace.read_text() + '{"arrival_s": 0.6, "inp')
    with background(server_context, answer_at_once) as base:
        ran = run(base, "--trace", trace, "--json")
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["requests"]["completed"] == 6
    assert f"{trace} line 7" in ran.stderr


def test_a_server_that_counts_other_prompts_is_told(server_context, trace: Path) -> None:
    """Its tokenizer is another: the reader has to know that lengths were not the trace's."""

    async def answer(connection, body) -> None:
        await connection.head()
        await connection.token()
        await connection.end(prompt=2 * len(body["prompt"].split()), output=1)

    with background(server_context, answer) as base:
        ran = run(base, "--trace", trace)
    assert ran.returncode == 0
    assert "2.00 times the prompt tokens" in ran.stderr
    assert "--tokenizer" in ran.stderr
