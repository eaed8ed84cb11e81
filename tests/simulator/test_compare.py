"""A comparison: its results, those that failed, and the bound and hindsight beside them."""

import errno
from pathlib import Path

import pytest
from virtual_runs import deployment, workload

from penstock.errors import GiveUp, InputError
from penstock.messages.spec import DeploymentBody
from penstock.simulator.compare import compare
from penstock.simulator.jobs import Job, run_job
from penstock.simulator.recorded_run import RunRecord, simulate_recorded
from penstock.simulator.workload_source import WorkloadSource
from penstock.telemetry.run_info import RunInfo
from penstock.workload import penstock_jsonl

POOL = {
    "name": "worker",
    "role": "worker",
    "gpu": {"vm_size": "Standard_NC40ads_H100_v5"},
    "autoscaling": {"by": "planner", "min": 1, "max": 4, "cool_in_s": 10},
}


def spec(**more: object) -> DeploymentBody:
    return deployment({**POOL, **more}, slo={"ttft_s": 0.5, "itl_s": 0.05, "window_s": 10})


@pytest.fixture
def source(tmp_path: Path) -> WorkloadSource:
    """Two minutes: quiet, then busy."""
    arrivals = [*workload(1, 120, rate=2.0), *workload(2, 900, rate=15.0, from_s=60.0)]
    path = tmp_path / "trace.jsonl"
    with path.open("wb") as file:
        penstock_jsonl.write(sorted(arrivals, key=lambda arrival: arrival.arrival_s), file)
    return WorkloadSource(trace=str(path))


def test_nobody_beats_the_clairvoyant_and_hindsight_attains(source: WorkloadSource) -> None:
    """The bound is below every deployment that attained as much, and below hindsight."""
    found = compare({"planned": spec(), "peak": spec(replicas=4, autoscaling={"by": "none"})}, source)
    yardsticks = found.yardsticks
    assert yardsticks is not None
    optimum_h = yardsticks.gpu_hours
    assert optimum_h > 0
    hindsight = yardsticks.hindsight.result
    assert hindsight.gpu_hours is not None
    assert hindsight.gpu_hours.total >= 0.98 * optimum_h
    for result in found.results.values():
        assert result.slo is not None
        assert result.gpu_hours is not None
        if result.slo.attainment >= 0.99:
            assert result.gpu_hours.total >= 0.98 * optimum_h
    assert list(found.results) == ["planned", "peak"]


def test_pools_apart_are_bounded_each_and_added_up(source: WorkloadSource) -> None:
    """Each needs something, the sum is the optimum's, and the simple policy owns both by the same two numbers."""
    scaled = {"by": "planner", "min": 1, "max": 4}
    gpu = {"vm_size": "Standard_NC40ads_H100_v5"}
    apart = deployment(
        {"name": "p", "role": "prefill", "gpu": gpu, "autoscaling": scaled},
        {"name": "d", "role": "decode", "gpu": gpu, "autoscaling": scaled},
        slo={"ttft_s": 0.5, "itl_s": 0.05, "window_s": 10},
    )
    found = compare({"apart": apart}, source)
    assert found.results["apart"].requests.completed == 1020
    yardsticks = found.yardsticks
    assert yardsticks is not None
    assert all(max(pool.need) >= 1 for pool in yardsticks.pools.values())
    assert yardsticks.gpu_hours == pytest.approx(sum(pool.bound.total_s for pool in yardsticks.pools.values()) / 3600)
    assert len({(policy.window_s, policy.headroom) for policy in yardsticks.hindsight.policies.values()}) == 1
    assert set(yardsticks.hindsight.policies) == {"p", "d"}


def test_one_that_cannot_run_is_named_and_the_others_keep_their_results(
    source: WorkloadSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backlog without bound in one; if that is all there is, the error bears its name."""
    monkeypatch.setattr("penstock.simulator.run.MAX_BACKLOG", 60)
    drowns = spec(replicas=1, autoscaling={"by": "none"})
    found = compare({"peak": spec(replicas=4, autoscaling={"by": "none"}), "drowns": drowns}, source)
    assert set(found.results) == {"peak"}
    assert "unanswered" in str(found.failed["drowns"])
    with pytest.raises(GiveUp, match="drowns: after"):
        compare({"drowns": drowns}, source)


def test_a_job_gives_the_same_in_any_process(source: WorkloadSource) -> None:
    """But for how long it took."""
    results = [run_job(Job(spec=spec(), source=source, world=None)) for _ in range(2)]
    assert results[0].replicas == results[1].replicas
    assert results[0].ttft_s == results[1].ttft_s


def test_a_disk_that_is_full_ends_the_run_with_a_line(
    source: WorkloadSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the folder and what the file system said."""

    def full(journal: object, observation: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("penstock.telemetry.journal.Journal.observed", full)
    record = RunRecord(folder=tmp_path / "out", info=RunInfo(command=("penstock",), spec="", seed=0))
    with pytest.raises(InputError, match=r"out: cannot be written any more \(No space left on device\); make room"):
        simulate_recorded(spec(), source, record)
