"""`penstock gateway` as its users run it: a process, with its options, signals and exit codes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def arguments(*more: str) -> list[str]:
    return [sys.executable, "-m", "penstock.cli.program", "gateway", *more]


@contextmanager
def gateway(*more: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    process = subprocess.Popen(arguments("--port", str(port), *more), stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                get(port, "/live")
                break
            except OSError:
                assert process.poll() is None, process.stderr.read() if process.stderr else ""
                time.sleep(0.05)
        yield process, port
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_answers_before_a_worker_is_there_and_ends_on_sigterm(tmp_path: Path) -> None:
    with gateway("--workers-file", str(tmp_path / "workers.json"), "--model", "m") as (process, port):
        assert get(port, "/health")[0] == 503
        assert json.loads(get(port, "/v1/models")[1])["data"][0]["id"] == "m"
        assert "penstock_gateway_requests_received_total 0.0" in get(port, "/metrics")[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_ctrl_c_ends_it_cleanly_even_with_a_request_held(tmp_path: Path) -> None:
    with gateway("--workers-file", str(tmp_path / "workers.json")) as (process, port), socket.socket() as client:
        client.connect(("127.0.0.1", port))
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: g\r\ncontent-length: 14\r\n\r\n" + b'{"prompt":"a"}')
        while "penstock_gateway_held_requests 1.0" not in get(port, "/metrics")[1]:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert b" 503 " in client.recv(4096)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--worker, --workers-file, --deployment: none is given"),
        (("--worker", "http://a:1", "--workers-file", "x"), "more than one is given"),
        (("--deployment", "d"), "no cluster is configured"),
        (("--worker", "https://a"), "--worker: 'https://a' is no plain http URL"),
        (("--worker", "http://a:1", "--tokenizer", "nowhere"), "no tokenizer.json there"),
        (("--worker", "http://a:1", "--host", "no.such.host.invalid"), "is no address here"),
        (("--worker", "http://a:1", "--routing", "best"), "--routing"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(options: tuple[str, ...], said: str) -> None:
    done = subprocess.run(arguments("--port", "0", *options), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    *log, line = done.stderr.splitlines()
    assert said in line
    assert all("WARNING" in entry for entry in log), "nothing but the log stands before it"


def test_a_port_in_use_is_one_line_and_exit_code_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = arguments("--port", port, "--worker", "http://127.0.0.1:1")
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env={**os.environ})
        assert done.returncode == 2
        assert f"port {port} is in use" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
