"""`penstock explain` on a record of two pools."""

import json
from pathlib import Path

import pytest

from penstock.cli.main import main
from penstock.messages.decision import Decision, LimitedBy
from penstock.telemetry.journal import decision_line


def decision(at_s: float, current: int, desired: int, component: str = "worker") -> Decision:
    return Decision(
        time_s=at_s,
        component=component,
        policy="planner",
        current=current,
        desired=desired,
        limited_by=LimitedBy.NONE,
        reason=f"{at_s:g} requests/s now; scaling from {current} to {desired}.",
        figures={"demand": at_s},
    )


@pytest.fixture
def record(tmp_path: Path) -> Path:
    made = [decision(0, 1, 1), decision(5, 1, 3), decision(5, 1, 2, "decode"), decision(10, 3, 3)]
    (tmp_path / "decisions.jsonl").write_bytes(b"".join(map(decision_line, made)))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["explain", *arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_every_pool_is_told_from_a_file_or_from_its_folder(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = run(capsys, str(record))
    assert code == 0
    assert "worker (planner)" in told
    assert "decode (planner)" in told
    assert "scaling from 1 to 3" in told
    assert run(capsys, str(record / "decisions.jsonl"))[1] == told


def test_one_pool_at_one_time_as_json(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, told, _ = run(capsys, str(record), "--component", "worker", "--at", "7", "--json")
    assert [(d["time_s"], d["desired"]) for d in json.loads(told)] == [(5.0, 3)]


def test_a_pool_that_is_not_in_the_record_is_an_input_error(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told, error = run(capsys, str(record), "--component", "prefill")
    assert (code, told) == (2, "")
    assert "use decode, worker" in error
