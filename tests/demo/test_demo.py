"""`penstock demo`: for real, as a newcomer runs it; and what it does when it is cut short."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

import penstock.cli.demo as demo
from penstock.messages.parse_spec import parse_spec
from penstock.workload.detect import open_trace
from penstock.workload.window import window

DEMO = [sys.executable, "-m", "penstock.cli.program", "demo"]
EXAMPLES = Path(__file__).parents[2] / "examples"


def others(root: int) -> set[int]:
    """Processes of this session of processes that are still there."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != root:
            try:
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            except (OSError, IndexError):
                continue
            if session == root:
                found.add(int(entry.name))
    return found


def begin(*args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*DEMO, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def end_all(process: subprocess.Popen[str]) -> set[int]:
    """End it if it is still there, and whatever it left. Returns: what it left."""
    left = others(process.pid)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    return left


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_loses_nothing_and_its_pool_goes_up_and_down(tmp_path: Path) -> None:
    """Within three minutes, with one document on stdout, all files of a run, and no process left."""
    out = tmp_path / "demo"
    began_s = time.monotonic()
    process = begin("--out", out, "--port", 0, "--web-port", 0, "--json")
    stdout, stderr = process.communicate(timeout=230)
    assert process.returncode == 0, stderr
    assert time.monotonic() - began_s < 180
    assert not others(process.pid)
    document = json.loads(stdout)
    assert document == json.loads((out / "summary.json").read_text())
    counts = document["requests"]
    assert counts["failed"] == 0
    assert counts["offered"] == counts["completed"] + counts["rejected"] > 500
    wanted = [desired for _, desired, _ in document["replicas"]["worker"]]
    assert any(after > before for before, after in pairwise(wanted))
    assert any(after < before for before, after in pairwise(wanted))
    assert 1 <= min(wanted) < max(wanted) <= 6
    assert 0 < document["slo"]["attainment"] <= 1
    assert 0 < document["cost_usd"] < document["static_peak_usd"]
    for name in ("requests.jsonl", "decisions.jsonl", "history.jsonl", "run.json", "report.html"):
        assert (out / name).stat().st_size > 0, name
    lines = [json.loads(line) for line in (out / "requests.jsonl").read_text().splitlines()]
    assert len(lines) == counts["offered"]
    # On the deployment's clock: none was due before the first worker was ready.
    ready_s = next(at_s for at_s, _, ready in document["replicas"]["worker"] if ready)
    assert min(line["intended_s"] for line in lines) >= ready_s - 1.5
    assert "live page is at http://127.0.0.1:" in stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_ends_at_once_when_it_is_told_to(tmp_path: Path, number: signal.Signals) -> None:
    """Before the first worker is ready; nothing is left running, and stdout stays empty."""
    process = begin("--out", tmp_path / "demo", "--port", 0, "--web-port", 0, "--json")
    try:
        assert process.stderr is not None
        assert "live page" in process.stderr.readline()
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    finally:
        left = end_all(process)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    assert not left


@pytest.mark.slow
def test_the_demo_cut_short_under_load_tells_what_it_has_and_leaves_no_process(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    process = begin("--out", out, "--port", 0, "--web-port", 0, "--json")
    try:
        deadline_s = time.monotonic() + 40
        while not (out / "requests.jsonl").exists() and time.monotonic() < deadline_s:
            time.sleep(0.1)
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    finally:
        left = end_all(process)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert json.loads(stdout)["requests"]["completed"] > 0
    assert (out / "report.html").exists()
    assert not left


def test_the_spec_of_the_demo_is_the_one_in_examples() -> None:
    """One copy, which ships with the package; one to six workers, priced, started cold in 8 s and warm in 3 s."""
    assert (EXAMPLES / "demo.yaml").resolve() == demo.SPEC_FILE.resolve()
    spec = parse_spec(demo.SPEC_FILE.read_text(), source="demo.yaml").spec
    (worker,) = spec.pools
    assert (worker.initial_replicas, worker.max_replicas) == (1, 6)
    assert worker.gpu is not None
    assert (worker.engine.startup.cold_s, worker.engine.startup.warm_s) == (8, 3)


def test_the_stretch_of_the_demo_ends_in_silence_and_in_time() -> None:
    """So that the pool has time to come down within the three minutes."""
    arrivals = window(
        open_trace(demo.TRACE).arrivals(), start_s=demo.START_S, duration_s=demo.STRETCH_S, speed=demo.SPEED
    )
    times = [arrival.arrival_s for arrival in arrivals]
    length_s = demo.STRETCH_S / demo.SPEED
    assert length_s - times[-1] > 3
    longest_s = demo.READY_WITHIN_S + length_s + demo.ANSWER_TIMEOUT_S + demo.SETTLE_WITHIN_S
    assert longest_s < 175


def test_a_port_that_is_taken_is_replaced_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever has something on port 8000 sees the demo all the same."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        assert demo.free_or_any(port, "gateway") == 0
        assert f"port {port} for the gateway" in capsys.readouterr().err
    assert demo.free_or_any(port, "gateway") == port
