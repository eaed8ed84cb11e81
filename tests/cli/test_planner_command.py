"""`penstock planner`: advice on processes that others run, and recorded runs decided again."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from penstock.messages.observation import Observation, PoolSeen, Sample, Signal
from penstock.telemetry.journal import observation_line, read_decisions, read_history
from running_up import running_up, write_spec

PLANNED = "{by: planner, min: 1, max: 5}"


def planner(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock.cli.program", "planner", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def seen(second: int) -> Observation:
    """A burst from second 20 on; one replica."""
    signals = {
        Signal.DEMAND: 400.0 if second >= 20 else 5.0,
        Signal.ISL: 1000.0,
        Signal.OSL: 50.0,
        Signal.QUEUE: 0.0,
        Signal.LEAD_TIME: 8.0,
    }
    pool = PoolSeen(
        component="worker",
        desired=1,
        starting=0,
        ready=1,
        draining=0,
        signals={signal: Sample(value=value) for signal, value in signals.items()},
    )
    return Observation(time_s=second + 0.001, pools=(pool,))


def test_a_recorded_run_is_decided_again_the_same_each_time(tmp_path: Path) -> None:
    spec, history = write_spec(tmp_path, scaling=PLANNED), tmp_path / "history.jsonl"
    history.write_bytes(b"".join(observation_line(seen(second)) for second in range(40)))
    for name in ("a", "b"):
        done = planner(str(spec), "--replay", str(history), "--out", str(tmp_path / name), "--json")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a/decisions.jsonl").read_bytes() == (tmp_path / "b/decisions.jsonl").read_bytes()
    told = json.loads(done.stdout)
    assert [d["time_s"] for d in told] == [second + 0.001 for second in range(0, 40, 5)]
    assert told[0]["desired"] == 1
    assert told[-1]["desired"] == 5, "the burst needs all that there may be"
    assert "400" in planner(str(spec), "--replay", str(history)).stdout


def test_a_live_run_is_decided_again_byte_for_byte(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path, scaling=PLANNED), tmp_path / "out"
    with running_up(spec, "--for", "7", "--out", str(out)) as up:
        up.until(up.is_serving)
        for _ in range(20):
            up.complete(max_tokens=2)
        up.process.wait(20)
        assert up.process.returncode == 0, up.errors
    assert planner(str(spec), "--replay", str(out / "history.jsonl"), "--out", str(tmp_path / "again")).returncode == 0
    live = (out / "decisions.jsonl").read_bytes()
    # The seven seconds begin once it serves, the looks before: how many there are depends on how long it took to start.
    times_s = [decision.time_s for decision in read_decisions(out / "decisions.jsonl")]
    assert len(times_s) >= 2
    assert all(4.5 < after - before < 10 for before, after in pairwise(times_s)), "one each five seconds"
    assert (tmp_path / "again/decisions.jsonl").read_bytes() == live


def test_running_processes_are_advised_on_and_not_touched(tmp_path: Path) -> None:
    with running_up(write_spec(tmp_path)) as up:
        up.until(up.is_serving)
        (worker,) = [command for command in up.children().values() if " worker " in command]
        port = worker.split("--port ")[1].split()[0]
        before = set(up.children())
        (tmp_path / "p").mkdir()
        done = planner(
            str(write_spec(tmp_path / "p", scaling=PLANNED)),
            *("--gateway", up.url, "--worker", f"worker=http://127.0.0.1:{port}"),
            *("--for", "2.5", "--out", str(tmp_path / "advice")),
        )
        assert done.returncode == 0, done.stderr
        assert set(up.children()) == before
    (first, *_) = read_decisions(tmp_path / "advice/decisions.jsonl")
    assert (first.component, first.policy, first.current) == ("worker", "planner", 1)
    (pool,) = list(read_history(tmp_path / "advice/history.jsonl"))[-1].pools
    assert pool.signals[Signal.DEMAND].value == 0
    assert pool.signals[Signal.RUNNING].value == 0


def test_options_that_would_do_nothing_are_refused() -> None:
    """With a cluster nothing is printed or watched by URL; without one there is nothing to dry-run."""
    for options, said in (
        (("--cluster", "--json"), "--cluster: given with a file, --gateway, --worker, --replay or --json"),
        (("--dry-run",), "--dry-run: given without --cluster"),
        (("--keda-listen", "127.0.0.1:0"), "--keda-listen: given without --cluster"),
        (("--cluster", "--dry-run", "--keda-listen", "127.0.0.1:0"), "--keda-listen: given with --dry-run"),
        (("--prometheus", "http://x"), "--prometheus: given without --cluster"),
        (("--cluster", "--prometheus-window", "60"), "--prometheus-window: given without --prometheus"),
        (("--cluster", "--prometheus", "x"), "--prometheus: not a URL"),
        (
            ("--cluster", "--prometheus", "http://x", "--prometheus-identity", "me"),
            "--prometheus-identity me: not known",
        ),
        ((), "SPEC: missing"),
    ):
        done = planner(*options)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
