"""Yardsticks: what each window needs, by simulation; the bound and hindsight beside a policy."""

from pathlib import Path

import pytest
from virtual_runs import deployment, workload

from penstock.messages.spec import DeploymentBody
from penstock.simulator.compare import compare
from penstock.simulator.jobs import Job, run_job, windows_met
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.yardsticks import _need
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


def test_a_window_needs_the_least_count_that_met_it() -> None:
    """Or the most that was tried, where none did; and nothing where no request came."""
    one = [(0.0, True), (20.0, False), (30.0, False)]
    two = [(0.0, True), (20.0, True), (30.0, False)]
    assert _need([one, two], 10.0) == [1, 0, 2, 2]


def test_a_count_that_is_hopeless_ends_early_and_meets_nothing_after(
    source: WorkloadSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one replica drowns, the others still tell what each window needs."""
    monkeypatch.setattr("penstock.simulator.run.MAX_BACKLOG", 100)
    one, four = (
        windows_met(Job(spec=spec(replicas=count, autoscaling={"by": "none"}), source=source, world=None))
        for count in (1, 4)
    )
    assert 0 < len(one) < len(four)
    need = _need([one, four], 10.0)
    assert len(need) == len(four)
    assert need[-1] == 2


def test_more_replicas_meet_more_windows(source: WorkloadSource) -> None:
    """What `need` rests on."""
    jobs = [
        Job(spec=spec(replicas=count, autoscaling={"by": "none"}), source=source, world=None) for count in (1, 2, 4)
    ]
    met = [sum(ok for _, ok in windows_met(job)) for job in jobs]
    assert met == sorted(met)
    assert met[0] < met[-1]


def test_nobody_beats_the_clairvoyant_and_hindsight_attains(source: WorkloadSource) -> None:
    """The bound is below every deployment that attained as much, and below hindsight."""
    found = compare({"planned": spec(), "peak": spec(replicas=4, autoscaling={"by": "none"})}, source)
    yardsticks = found.yardsticks
    assert yardsticks is not None
    optimum_h = yardsticks.optimum.total_s / 3600
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


def test_pools_apart_have_no_yardsticks_yet(source: WorkloadSource) -> None:
    """It says so, and the deployments are compared all the same."""
    apart = deployment({"name": "p", "role": "prefill"}, {"name": "d", "role": "decode"})
    found = compare({"apart": apart}, source)
    assert found.yardsticks is None
    assert found.without_why is not None
    assert found.results["apart"].requests.completed == 1020


def test_a_job_gives_the_same_in_any_process(source: WorkloadSource) -> None:
    """But for how long it took."""
    results = [run_job(Job(spec=spec(), source=source, world=None)) for _ in range(2)]
    assert results[0].replicas == results[1].replicas
    assert results[0].ttft_s == results[1].ttft_s
