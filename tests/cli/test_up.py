"""`penstock up` for real: it serves, tells, ends cleanly; and says no in one line before anything starts."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from running_up import running_up, write_spec


def test_it_serves_tells_and_ends_with_the_document_of_the_contract(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running_up(write_spec(tmp_path, replicas=1), "--json", "--out", str(out)) as up:
        up.until(up.is_serving)
        assert up.complete()["usage"]["completion_tokens"] == 4
        assert b"<html" in urllib.request.urlopen(up.page + "/", timeout=5).read()
        up.until(lambda: up.metrics().get('penstock_ready_replicas{component="worker"}') == 1)
        children = up.children()
        assert len(children) == 2
        code, stdout = up.end()
        assert code == 0, up.errors
        assert not up.children()
    document = json.loads(stdout)
    assert document["requests"] == {"offered": 1, "completed": 1, "rejected": 0, "failed": 0}
    assert document["tokens"]["output"] == 4
    assert document["gpu_hours"]["total"] > 0
    assert document["cost_usd"] > 0
    assert document["replicas"]["worker"][-1][1:] == [1, 1]
    assert json.loads((out / "summary.json").read_text()) == document
    assert {path.name for path in out.iterdir()} >= {"decisions.jsonl", "history.jsonl", "run.json", "report.html"}
    assert "Traceback" not in up.errors


def penstock_up(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock.cli.program", "up", *arguments], capture_output=True, text=True, check=False
    )


def is_one_line(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--port", "--web-port"])
def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = str(taken.getsockname()[1])
        others = {"--port": "0", "--web-port": "0", option: port}
        began = time.monotonic()
        done = penstock_up(str(write_spec(tmp_path)), *(part for pair in others.items() for part in pair))
    assert is_one_line(done), done.stderr
    assert f"{option} {port}" in done.stderr
    assert time.monotonic() - began < 10


def test_engines_that_it_cannot_start_are_refused_in_one_line(tmp_path: Path) -> None:
    done = penstock_up(str(write_spec(tmp_path, engine="vllm")), "--port", "0", "--web-port", "0")
    assert is_one_line(done), done.stderr
    assert "spec.components.worker.engine.type" in done.stderr
    assert "does not start vllm yet" in done.stderr


def test_an_unknown_vm_size_is_refused_with_the_nearest_names(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    spec.write_text(spec.read_text().replace("H100_v5", "H100_v6"))
    done = penstock_up(str(spec), "--port", "0", "--web-port", "0")
    assert is_one_line(done), done.stderr
    assert "did you mean Standard_NC40ads_H100_v5" in done.stderr


def test_a_strange_host_is_refused(tmp_path: Path) -> None:
    done = penstock_up(str(write_spec(tmp_path)), "--host", "no-such-host.invalid", "--port", "0", "--web-port", "0")
    assert is_one_line(done), done.stderr
    assert "--host no-such-host.invalid" in done.stderr


def test_for_so_many_seconds_and_no_longer(tmp_path: Path) -> None:
    began = time.monotonic()
    with running_up(write_spec(tmp_path), "--for", "1") as up:
        up.process.wait(15)
        assert up.process.returncode == 0
        assert not up.children()
    assert 1 < time.monotonic() - began < 12


def test_sigterm_while_it_starts_leaves_no_process(tmp_path: Path) -> None:
    with running_up(write_spec(tmp_path, replicas=2, cold_s=30)) as up:
        up.until(lambda: len(up.children()) == 3)
        code, _ = up.end(signal.SIGTERM)
        assert code == 0
        assert not up.children()
    assert "Traceback" not in up.errors
