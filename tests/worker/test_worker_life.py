"""A worker's life as a process: start-up delay, drain, signals, and never an orphan."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from worker_process import Launcher, WorkerProcess, command, free_port, get, launch, metric, post


def stream_in_thread(worker: WorkerProcess, max_tokens: int) -> tuple[threading.Thread, list[bytes]]:
    """A stream that has begun; its bytes when the thread ends."""
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=20)
    body = {"prompt": [300] * 20, "max_tokens": max_tokens, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(body))
    response = connection.getresponse()
    got = [response.read(1)]

    def read() -> None:
        try:
            got.append(response.read())
        except (http.client.HTTPException, OSError):
            got.append(b"CUT")
        finally:
            response.close()
            connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    return thread, got


def test_a_starting_worker_says_so_until_its_delay_is_over(start_worker: Launcher) -> None:
    """503 with Retry-After on every path that needs the engine; metrics are there from the start."""
    worker = start_worker("--start-delay-s", 1.2, ready=False)
    deadline = time.monotonic() + 10
    while (status := worker.health()) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert status == 503
    for path in ("/v1/completions", "/v1/chat/completions", "/tokenize"):
        status, headers, answer = post(worker, path, {"prompt": "a"})
        assert (status, json.loads(answer)["error"]["code"]) == (503, "starting")
    assert metric(worker, "vllm:num_requests_running") == 0
    assert int(headers["retry-after"]) >= 1
    worker.wait_ready()
    assert post(worker, "/v1/completions", {"prompt": "a"})[0] == 200


def test_a_draining_worker_finishes_what_it_has_and_takes_nothing_new(start_worker: Launcher) -> None:
    """POST /drain; GET tells what is left; SIGTERM then ends it as soon as nothing is."""
    worker = start_worker()
    thread, got = stream_in_thread(worker, 200)
    status, _, answer = post(worker, "/drain", b"")
    assert (status, json.loads(answer)) == (200, {"draining": True, "left": 1, "pinned": 0})
    status, headers, answer = post(worker, "/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]})
    assert (status, json.loads(answer)["error"]["code"]) == (503, "draining")
    assert "retry-after" in headers
    assert worker.health() == 503
    thread.join(10)
    assert b"".join(got).endswith(b"data: [DONE]\n\n")
    assert get(worker, "/drain") == {"draining": True, "left": 0, "pinned": 0}
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(5) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_0_without_losing_a_token(start_worker: Launcher, number: int) -> None:
    """Streams that run get their end."""
    worker = start_worker()
    streams = [stream_in_thread(worker, 150) for _ in range(8)]
    worker.signal(number)
    assert worker.process.wait(10) == 0
    for thread, got in streams:
        thread.join(10)
        answer = b"".join(got)
        assert answer.count(b'"text":') == 150
        assert answer.endswith(b"data: [DONE]\n\n")


def test_a_drain_that_takes_too_long_is_cut_and_exits_1(start_worker: Launcher) -> None:
    """The stream ends without its end marker, so its client knows."""
    worker = start_worker("--drain-timeout-s", 0.3)
    thread, got = stream_in_thread(worker, 20_000)
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(5) == 1
    thread.join(10)
    assert b"[DONE]" not in b"".join(got)
    _, errors = worker.process.communicate()
    assert "1 requests left" in errors
    assert "Traceback" not in errors


def test_a_second_signal_ends_it_now(start_worker: Launcher) -> None:
    """However much is left."""
    worker = start_worker()
    thread, _ = stream_in_thread(worker, 20_000)
    worker.signal(signal.SIGTERM)
    time.sleep(0.1)
    started = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(5) == 128 + signal.SIGTERM
    assert time.monotonic() - started < 2
    thread.join(10)


def test_a_client_that_leaves_in_the_middle_of_its_body_is_forgotten_without_a_word(start_worker: Launcher) -> None:
    """It is no fault of the worker's: nothing in its log, nobody counted."""
    worker = start_worker()
    head = b"POST /v1/completions HTTP/1.1\r\nhost: w\r\ncontent-length: 1000\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", worker.port)) as client:
        client.sendall(head)
        while get(worker, "/drain")["left"] != 1:
            time.sleep(0.01)
    while get(worker, "/drain")["left"]:
        time.sleep(0.01)
    worker.signal(signal.SIGTERM)
    _, errors = worker.process.communicate(timeout=10)
    assert "Traceback" not in errors


def test_it_does_not_outlive_the_supervisor_that_started_it() -> None:
    """Not even when that is killed with SIGKILL."""
    port = free_port()
    supervisor = (
        "import os, subprocess, sys, time\n"
        "env = os.environ | {'PENSTOCK_TETHER': str(os.getpid())}\n"
        f"child = subprocess.Popen({command(port)!r}, env=env)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", supervisor], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        WorkerProcess(parent, port).wait_ready()
        parent.kill()
        parent.wait(5)
        deadline = time.monotonic() + 5
        while _alive(child) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _alive(child)
    finally:
        parent.kill()
        parent.communicate()


def _alive(pid: int) -> bool:
    """Whether the process runs; one that has ended but is not collected does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_port_in_use_is_one_line_and_exit_2() -> None:
    """No traceback, and the flag that is wrong."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        worker = launch(port=taken.getsockname()[1])
        _, errors = worker.process.communicate(timeout=10)
    assert worker.process.returncode == 2
    assert errors.count("\n") == 1
    assert "--port" in errors
    assert "address already in use" in errors


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--component", "decode"), "--component"),
        (("--kv-replay", "ipc:///nowhere/x"), "--kv-replay"),
        (("--kv-events", "ipc:///nowhere/at/all"), "ipc:///nowhere/at/all"),
        (("--block-tokens", 0), "--block-tokens"),
        (("--role", "frontend"), "--role"),
        (("--tokenizer", "/nowhere"), "no tokenizer.json"),
        (("--host", "203.0.113.7"), "cannot listen on 203.0.113.7"),
        (("--max-num-batched-tokens", 100), "max_num_seqs"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_2(flags: tuple[object, ...], message: str) -> None:
    """Whoever typed it reads what to change."""
    worker = launch(*flags)
    _, errors = worker.process.communicate(timeout=10)
    assert (worker.process.returncode, errors.count("\n")) == (2, 1), errors
    assert message in errors


def test_a_component_of_a_spec_says_role_engine_and_model(start_worker: Launcher, tmp_path: object) -> None:
    """As the supervisor starts it; flags go over the spec."""
    spec = f"{tmp_path}/spec.yaml"
    with open(spec, "w") as file:
        file.write(
            "apiVersion: penstock.dev/v1alpha1\nkind: InferenceDeployment\nmetadata: {name: a}\nspec:\n"
            "  model: {name: my/model, tokenizer: penstock/tiny}\n  slo: {ttftSeconds: 1, itlSeconds: 0.1}\n"
            "  components:\n    - {name: pool, role: worker, engine: {blockTokens: 32, maxModelLen: 999}}\n"
        )
    worker = start_worker("--spec", spec, "--component", "pool", "--kv-blocks", 77)
    model = get(worker, "/v1/models")["data"][0]
    assert (model["id"], model["max_model_len"]) == ("my/model", 999)
    unknown = launch("--spec", spec, "--component", "other")
    _, errors = unknown.process.communicate(timeout=10)
    assert (unknown.process.returncode, "use pool" in errors) == (2, True)


def test_starting_up_costs_little() -> None:
    """A worker's start is part of scaling: under a second of CPU here, 0.4 s on an idle core."""
    worker = launch().wait_ready()
    with open(f"/proc/{worker.process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    worker.end()
    assert (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") < 1.0
