"""Demand before a run: read from a trace that ends where the run begins, known to planners, and sent to nobody."""

import json
from pathlib import Path

import pytest

from penstock.cli.main import main
from penstock.simulator.workload_source import WorkloadSource

SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: morning}
spec:
  model: {name: any}
  slo: {ttftSeconds: 1, itlSeconds: 0.1}
  components:
    - name: worker
      role: worker
      engine:
        type: simulated
        startup: {coldSeconds: 180, warmSeconds: 180}
        stepTime: {baseSeconds: 0.01, prefillTokenSeconds: 1.0e-3}
      gpu: {vmSize: Standard_NC40ads_H100_v5}
      autoscaling: {by: planner, min: 1, max: 8, seasons: true}
"""
# Nobody for half an hour, then eight requests/s for ten minutes; and so it is every day.
WORKLOAD = """
apiVersion: penstock.dev/v1alpha1
kind: Workload
spec:
  generate:
    durationSeconds: {duration_s}
    rate:
      requestsPerSecond: 8
      points: [[0, 0], [1800, 0], [1800, 1], [2400, 1], [2400, 0]]
      pointsEverySeconds: 86400
    input: {{mean: 200}}
    output: {{mean: 20}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    for name, duration_s in (("today", 2400), ("before", 2 * 86_400)):
        (tmp_path / f"{name}.yaml").write_text(WORKLOAD.format(duration_s=duration_s), encoding="utf-8")
    return tmp_path


def simulated(folder: Path, capsys: pytest.CaptureFixture[str], *more: object) -> tuple[int, str, str]:
    command = ["simulate", folder / "spec.yaml", "--trace", folder / "today.yaml", "--json", *more]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in command])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_a_planner_that_knows_the_days_before_is_there_when_the_first_request_comes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = simulated(folder, capsys, "--history", folder / "before.yaml")
    known = json.loads(out)
    _, out, _ = simulated(folder, capsys)
    unknown = json.loads(out)
    assert known["requests"] == unknown["requests"]
    assert known["slo"]["attainment"] == 1.0
    assert unknown["slo"]["attainment"] < 0.9


def test_the_history_ends_where_the_run_begins_silence_included(folder: Path) -> None:
    source = WorkloadSource(trace=str(folder / "today.yaml")).following(str(folder / "before.yaml"))
    assert source.before.end == 0
    minutes = source.before.last(10**6)
    assert len(minutes) == 2 * 1440
    assert sum(minutes[-1440 + 30 : -1440 + 40]) == pytest.approx(80, rel=0.1)
    assert sum(minutes[-1400:]) == 0


def test_a_history_that_is_not_there_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = simulated(folder, capsys, "--history", "nowhere.csv")
    assert (code, out) == (2, "")
    assert "nowhere.csv" in err


def test_a_history_from_which_nobody_learns_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.replace(", seasons: true", ""), encoding="utf-8")
    code, _, said = simulated(folder, capsys, "--history", folder / "before.yaml")
    assert code == 2
    assert "--history: no pool of the deployment learns from it; set autoscaling.seasons: true" in said
