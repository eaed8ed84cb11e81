"""Bands: several runs of one deployment, with delays and step times drawn anew."""

import json
import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean

import pytest
from virtual_runs import deployment, workload

from penstock.cli.main import main
from penstock.messages.confidence import Confidence
from penstock.messages.result import Latency, Requests, Result, Tokens
from penstock.simulator.jobs import Job
from penstock.simulator.seeds import band, further_jobs, run_all, scaled
from penstock.simulator.workload_source import WorkloadSource
from penstock.workload import penstock_jsonl


def error(ttft: float, tpot: float) -> dict[str, Confidence]:
    known = Confidence(
        ttft_error=ttft, tpot_error=tpot, calibrated=True, model_seen=True, gpu_seen=True, engine_seen=True
    )
    return {"worker": known}


def steps(seed: int, ttft: float = 0.2, tpot: float = 0.05) -> tuple[float, float]:
    """By how much a run takes prompts, and decoding, to be longer."""
    spec = deployment()
    before = spec.component("worker").engine.step_time
    after = scaled(spec, error(ttft, tpot), seed=seed).component("worker").engine.step_time
    assert after.context_token_s / before.context_token_s == pytest.approx(after.base_s / before.base_s)
    return after.prefill_token_s / before.prefill_token_s, after.base_s / before.base_s


def test_step_times_are_off_by_as_much_as_the_profile_says() -> None:
    """In the mean over many seeds: prompts by the error of TTFT, decoding by that of TPOT, up as often as down."""
    drawn = [steps(seed) for seed in range(2000)]
    assert mean(abs(prefill - 1) for prefill, _ in drawn) == pytest.approx(0.2, rel=0.1)
    assert mean(abs(decode - 1) for _, decode in drawn) == pytest.approx(0.05, rel=0.1)
    assert sum(prefill > 1 for prefill, _ in drawn) == pytest.approx(1000, abs=100)
    assert steps(7) == steps(7) != steps(8)


def test_an_error_that_is_not_known_changes_nothing() -> None:
    assert steps(1, ttft=math.nan)[0] == 1.0
    assert scaled(deployment(), {}, seed=1) == deployment()


def result(ttft_p95_s: float) -> Result:
    latency = Latency(mean=None, p50=None, p95=ttft_p95_s, p99=None)
    none = Latency(mean=None, p50=None, p95=None, p99=None)
    counts = Requests(offered=1, completed=1, rejected=0, failed=0)
    tokens = Tokens(prompt=1, prompt_cached=0, output=1)
    return Result(requests=counts, ttft_s=latency, itl_s=none, e2e_s=none, tokens=tokens)


def test_the_band_is_the_middle_of_the_runs() -> None:
    """All of a few; 90 % of many; nothing of what no run measured."""
    assert band([result(value) for value in (3.0, 1.0, 2.0)]) == {"ttft_p95_s": (1.0, 3.0)}
    assert band([result(float(value)) for value in range(1, 101)]) == {"ttft_p95_s": (5.0, 95.0)}


def test_runs_in_other_processes_differ_by_their_seed_and_repeat(tmp_path: Path) -> None:
    """The same seeds give the same bands, in whatever order the runs are done."""
    path = tmp_path / "trace.jsonl"
    with path.open("wb") as file:
        penstock_jsonl.write(workload(1, 200, rate=12.0), file)
    job = Job(spec=deployment(), source=WorkloadSource(trace=str(path), seed=5), world=None)
    jobs = further_jobs(job, error(0.2, 0.1), seeds=4)
    assert [each.source.seed for each in jobs] == [6, 7, 8]
    with ProcessPoolExecutor(max_workers=2) as pool:
        first, second = band(list(run_all(jobs, pool))), band(list(run_all(jobs, pool)))
    assert first == second
    assert first["ttft_p95_s"][0] < first["ttft_p95_s"][1]


SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: measured}
spec:
  model: {name: Qwen/Qwen3-0.6B}
  slo: {ttftSeconds: 1.0, itlSeconds: 0.05}
  components:
    - {name: frontend, role: frontend}
    - {name: worker, role: worker, engine: {profile: shipped}, gpu: {vmSize: Standard_NC24ads_A100_v4}}
"""


def test_simulate_shows_the_band(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As data and as rows of at most 80 columns; the other figures are those of the first run alone."""
    path = tmp_path / "measured.yaml"
    path.write_text(SPEC)
    stretch = ["simulate", str(path), "--trace", "azure-code-excerpt", "--duration-s", "60"]
    documents = []
    for more in (["--json"], ["--seeds", "3", "--json"]):
        with pytest.raises(SystemExit):
            main([*stretch, *more])
        documents.append(json.loads(capsys.readouterr().out))
    alone, several = documents
    assert alone["step_time_error"]["worker"]["calibrated"] is False
    assert "band" not in alone
    assert several["ttft_s"] == alone["ttft_s"]
    assert several["seeds"] == 3
    low, high = several["band"]["ttft_p95_s"]
    assert low < high
    assert low <= alone["ttft_s"]["p95"] <= high
    with pytest.raises(SystemExit):
        main([*stretch, "--seeds", "2"])
    out = capsys.readouterr().out
    assert "band        of 2 runs" in out
    assert all(len(line) <= 80 for line in out.splitlines())
