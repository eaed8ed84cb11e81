"""Tables on the terminal: 80 columns, whatever the figures; states that nobody had are left out."""

from dataclasses import replace

import pytest

from penstock.cli.compare_table import compare_table
from penstock.cli.result_table import result_table
from penstock.messages.result import GpuHours, Latency, Requests, Result, SloResult, Tokens
from penstock.telemetry.comparison_report import Bounds
from penstock.telemetry.ranking import Spent, rank, standing

LATENCY = Latency(mean=123.4, p50=123.4, p95=123.4, p99=1234.5)
LARGE = Result(
    requests=Requests(offered=123_456_789, completed=123_456_789, rejected=0, failed=0),
    ttft_s=LATENCY,
    itl_s=LATENCY,
    e2e_s=LATENCY,
    tokens=Tokens(prompt=10**13, prompt_cached=10**12, output=10**12),
    slo=SloResult(
        ttft_s=0.5,
        itl_s=0.05,
        percentile=99.9,
        window_s=60,
        windows=100_000,
        windows_met=99_999,
        attainment=0.99999,
        requests_met=0.99,
    ),
    gpu_hours=GpuHours(total=123_456.7, serving=100_000.4, starting=3_456.3, warm=10_000.1, draining=9_999.9),
    cost_usd=1_234_567.89,
    replicas={"worker": ((0.0, 1, 0), (5.0, 128, 1))},
    scale_events=123_456,
    wall_s=12_345.6,
    requests_per_wall_s=10_000.1,
)


def fits(text: str) -> bool:
    return max(map(len, text.splitlines())) <= 80


def test_a_large_result_fits() -> None:
    """And what does not fit goes below, not away."""
    text = result_table(LARGE)
    assert fits(text)
    assert "draining 1e+04" in text.replace("\n            ", " ")


def test_only_states_that_somebody_had_are_shown() -> None:
    """A run without warm capacity has no word of it."""
    small = replace(LARGE, gpu_hours=GpuHours(total=2.0, serving=1.5, starting=0.5, warm=0, draining=0))
    assert "GPU-hours   2: serving 1.5, starting 0.5\n" in result_table(small)
    text = compare_table(rank({"a": small}, attain=0.99, optimum=None), {"a": small}, None)
    assert "serving  starting" in text
    assert "warm" not in text


@pytest.mark.parametrize("name", ["a", "a-deployment-with-a-name-as-long-as-a-kubernetes-name-may-be"])
def test_a_comparison_fits_and_is_in_the_order_of_the_ranking(name: str) -> None:
    """Ranks count deployments; yardsticks have none."""
    late = replace(LARGE, slo=replace(LARGE.slo, attainment=0.5), cost_usd=1.0) if LARGE.slo else LARGE
    results = {"late": late, name: LARGE}
    optimum = Spent(gpu_hours=100_000.0, cost_usd=1_000_000.0)
    bounds = Bounds(
        need=(1,),
        optimum_counts=(1,),
        window_s=60,
        lead_s=480,
        optimum=optimum,
        hindsight=standing("hindsight", LARGE, attain=0.99, optimum=optimum),
        hindsight_rule="largest load of the last 7200 s x 9.00",
    )
    text = compare_table(rank(results, attain=0.99, optimum=optimum), results, bounds)
    assert fits(text)
    lines = text.splitlines()
    assert lines[1].startswith("1  a")
    assert next(line for line in lines if line.startswith("2")).split()[1] == "late"
    assert "1.23" in lines[1]


def test_a_band_of_several_runs_stands_below_the_ranking() -> None:
    """Low to high of what was ranked by, in 80 columns; nothing of it where there was one run of each."""
    band = {"attainment": (0.97, 1.0), "gpu_hours": (1.5, 1.75), "cost_usd": (10.0, 1200.5)}
    result = replace(LARGE, seeds=5, band=band)
    text = compare_table(rank({"a": result}, attain=0.99, optimum=None), {"a": result}, None)
    assert "over 5 runs" in text
    assert fits(text)
    for told in ("97.0% to 100.0%", "1.5 to 1.75", "$10.00 to $1,200.50"):
        assert told in text
    plain = compare_table(rank({"a": LARGE}, attain=0.99, optimum=None), {"a": LARGE}, None)
    assert "over" not in plain
