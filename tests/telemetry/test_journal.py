"""The record of a run, there and back; what cannot be read is named by file and line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import NodePoolSeen, Observation, PoolSeen, Sample, Signal, WorkerSeen
from penstock.telemetry.journal import Journal, decision_line, observation_line, read_decisions, read_history

DECISION = Decision(
    time_s=5.000123,
    component="worker",
    policy="planner",
    current=1,
    desired=3,
    limited_by=LimitedBy.MAX,
    reason="42.1 requests/s now; scaling from 1 to 3, the maximum.",
    seen={"requests_per_s": Sample(value=42.1, age_s=0.3)},
    figures={"demand": 42.1},
)
OBSERVATION = Observation(
    time_s=5.000123,
    pools=(
        PoolSeen(
            component="worker",
            desired=2,
            starting=1,
            ready=1,
            draining=0,
            signals={Signal.DEMAND: Sample(value=0.1 + 0.2, age_s=1 / 3), Signal.QUEUE: Sample(value=0.0)},
            workers=(
                WorkerSeen(id="worker-1", state="ready", since_s=0.1, running=3, kv_usage=0.25),
                WorkerSeen(id="worker-2", state="starting", since_s=4.0, ready_at_s=12.0),
            ),
        ),
    ),
    totals={"completed": 17.0},
    nodes=(NodePoolSeen(vm_size="big", gpus_per_node=8, warm=1, cordoned=1, in_use=9),),
)


def test_both_files_are_read_back_as_they_were(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "out")
    journal.observed(OBSERVATION)
    journal.decided(DECISION)
    journal.close()
    assert list(read_decisions(tmp_path / "deep/out/decisions.jsonl")) == [DECISION]
    assert list(read_history(tmp_path / "deep/out/history.jsonl")) == [OBSERVATION]


def test_a_decision_has_the_keys_of_the_contract() -> None:
    record = json.loads(decision_line(DECISION))
    assert list(record)[:7] == ["time_s", "component", "policy", "current", "desired", "limited_by", "reason"]
    assert record["seen"] == {"requests_per_s": {"value": 42.1, "age_s": 0.3}}


@given(value=st.floats(allow_nan=False, allow_infinity=False), at_s=st.floats(0, 1e9))
def test_numbers_come_back_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, value: float, at_s: float) -> None:
    path = tmp_path_factory.mktemp("bits") / "history.jsonl"
    pool = PoolSeen(
        component="w", desired=0, starting=0, ready=0, draining=0, signals={Signal.TTFT: Sample(value=value)}
    )
    observation = Observation(time_s=at_s, pools=(pool,))
    path.write_bytes(observation_line(observation))
    assert list(read_history(path)) == [observation]


def test_each_line_is_on_disk_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.decided(DECISION)
    assert len(list(read_decisions(tmp_path / "decisions.jsonl"))) == 1
    journal.close()


def test_the_history_is_bounded_and_decisions_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path, max_history_bytes=3 * len(observation_line(OBSERVATION)))
    for _ in range(10):
        journal.observed(OBSERVATION)
        journal.decided(DECISION)
    journal.close()
    assert len(list(read_history(tmp_path / "history.jsonl"))) == 3
    assert len(list(read_decisions(tmp_path / "decisions.jsonl"))) == 10
    assert len(caplog.records) == 1


def test_a_last_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(decision_line(DECISION) + decision_line(DECISION)[:40])
    assert list(read_decisions(path)) == [DECISION]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"{]\n", "not JSON"),
        (b"[1]\n", "not a JSON object"),
        (b"{}\n", "not a decision (no 'time_s')"),
        (decision_line(DECISION).replace(b'"max"', b'"most"'), "not a decision"),
        (decision_line(DECISION).replace(b"42.1,", b"null,"), "not a decision"),
        (decision_line(DECISION).replace(b'"current":1', b'"current":[]'), "not a decision"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, bad: bytes, says: str) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(decision_line(DECISION) + bad)
    with pytest.raises(InputError) as caught:
        list(read_decisions(path))
    assert f"{path} line 2" in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--out"):
        Journal(tmp_path / "file")
