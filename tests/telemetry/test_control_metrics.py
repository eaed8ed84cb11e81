"""The control loop's metrics, as a Prometheus would read them."""

from collections import Counter

from prometheus_client import generate_latest

from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import Observation, PoolSeen
from penstock.messages.result import GpuHours
from penstock.messages.spec import SloSpec
from penstock.telemetry.control_metrics import ControlMetrics
from penstock.telemetry.feed import Costs

COSTS = Costs(
    usd_per_hour=7.0,
    spent_usd=1.5,
    static_peak_usd=4.0,
    gpu_hours=GpuHours(total=0.3, serving=0.2, starting=0.06, warm=0.0, draining=0.04),
)
SLO = SloSpec(ttft_s=0.5, itl_s=0.05, window_s=60)


def samples(metrics: ControlMetrics) -> dict[str, float]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def observation(at_s: float, **totals: float) -> Observation:
    pool = PoolSeen(component="worker", desired=3, starting=1, ready=2, draining=0)
    return Observation(time_s=at_s, pools=(pool,), totals=totals)


def counts(ttft: float, within: float) -> dict[str, float]:
    return {
        "ttft_observed": ttft, "ttft_within": within, "itl_observed": 0, "itl_within": 0, "rejected": 0, "failed": 0,
    }  # fmt: skip


def test_everything_that_the_contract_names_is_there() -> None:
    metrics = ControlMetrics(SLO, costs=lambda: COSTS, errors=Counter(act=2), deaths=lambda: {"worker": 1})
    for at_s, totals in ((1, counts(10, 10)), (70, counts(20, 20)), (130, counts(30, 25))):
        metrics.observed(observation(at_s, **totals))
    for limit in (LimitedBy.NONE, LimitedBy.MAX, LimitedBy.MAX):
        metrics.decided(
            Decision(
                time_s=1, component="worker", policy="planner", current=2, desired=3, limited_by=limit, reason="because"
            )
        )
    found = samples(metrics)
    assert found['penstock_desired_replicas{component="worker"}'] == 3
    assert found['penstock_ready_replicas{component="worker"}'] == 2
    assert found['penstock_decisions_total{limited_by="max",policy="planner"}'] == 2
    assert sum(value for name, value in found.items() if name.startswith("penstock_gpu_hours_total")) == 0.3
    assert found["penstock_cost_usd_total"] == 1.5
    assert found["penstock_slo_attainment_ratio"] == 1.0
    assert found['penstock_control_errors_total{step="act"}'] == 2
    assert found['penstock_worker_deaths_total{component="worker"}'] == 1


def test_what_is_not_known_yet_has_no_sample() -> None:
    metrics = ControlMetrics(SLO, costs=lambda: None, errors=Counter(), deaths=dict)
    assert samples(metrics) == {}
