"""The simulator against the real thing: processes, sockets and a real clock, and the same in virtual time.

Both get one spec and one trace: a calm, a burst that needs more replicas, a calm. What may differ, with room for a
noisy machine of two cores: docs/concepts/simulator.md states these bounds. They are narrow enough that a step time
that is wrong by 30 % breaks them, which the last test holds.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean as mean
from statistics import median
from typing import Any

import pytest

from running_up import running_up

CALM_TTFT_WITHIN = 0.15  # of the real median, while nobody waits for a replica: what steps take
MEAN_TTFT_WITHIN = 0.75  # of the real mean over all, burst included: it waits for processes to begin
REPLICAS_APART = 0.4  # on average over the run
REPLICA_TIME_WITHIN = 0.15  # of the real replica-seconds

COLD_S, WARM_S = 4.0, 3.0
BURST_S, BURST_OVER_S = 14.0, 40.0  # in the traffic below, with time for its queue to go
SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {{name: parity}}
spec:
  model: {{name: penstock/tiny}}
  slo: {{ttftSeconds: 2.0, itlSeconds: 0.5, percentile: 95, windowSeconds: 10}}
  components:
    - {{name: frontend, role: frontend}}
    - name: worker
      role: worker
      engine:
        type: simulated
        maxNumSeqs: 64
        maxNumBatchedTokens: 4096
        stepTime:
          baseSeconds: {base_s}
          prefillTokenSeconds: {prefill_token_s}
          prefillAttentionSeconds: 0
          sequenceSeconds: {sequence_s}
          contextTokenSeconds: 0
        startup: {{coldSeconds: {cold_s}, warmSeconds: {warm_s}}}
      gpu: {{vmSize: Standard_NC40ads_H100_v5}}
      autoscaling: {{by: planner, min: 1, max: 5, intervalSeconds: 1, coolInSeconds: 8, maxStepIn: 3}}
"""
TRAFFIC = """
apiVersion: penstock.dev/v1alpha1
kind: Workload
spec:
  seed: 11
  delaySeconds: {delay_s}
  generate:
    durationSeconds: 50
    rate: {{points: [[0, 1], [14, 1], [14, 5], [30, 5], [30, 1]], gapsCv: 0.3}}
    input: {{mean: 3000, cv: 0.2, max: 5000}}
    output: {{mean: 6, cv: 0.3, max: 12}}
"""


@dataclass(frozen=True)
class Ran:
    """What both worlds tell of a run. `ttft_s`: by when it was due; seconds count from when the traffic began."""

    ttft_s: list[tuple[float, float]]
    ready: list[tuple[float, int]]

    @property
    def mean_ttft_s(self) -> float:
        return mean(ttft_s for _, ttft_s in self.ttft_s)

    @property
    def calm_ttft_s(self) -> float:
        return median(ttft_s for due_s, ttft_s in self.ttft_s if due_s < BURST_S or due_s > BURST_OVER_S)

    @property
    def began_s(self) -> float:
        return self.ready[0][0]

    @property
    def first_ready_s(self) -> float:
        return next(at_s for at_s, count in self.ready if count)

    def ready_at(self, at_s: float) -> int:
        return next((count for since_s, count in reversed(self.ready) if since_s <= at_s), 0)


def spec(folder: Path, *, begin_s: float = 0.0, slower: float = 1.0) -> Path:
    """`begin_s`: what a start takes beside the delay that a spec asks for."""
    path = folder / f"spec-{slower:g}.yaml"
    steps = {"base_s": 0.01 * slower, "prefill_token_s": 1e-4 * slower, "sequence_s": 1e-4 * slower}
    path.write_text(SPEC.format(cold_s=COLD_S + begin_s, warm_s=WARM_S + begin_s, **steps))
    return path


def traffic(folder: Path, delay_s: float) -> Path:
    path = folder / "traffic.yaml"
    path.write_text(TRAFFIC.format(delay_s=delay_s))
    return path


def penstock(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "penstock.cli.program", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def ttft_s(folder: Path, from_s: float) -> list[tuple[float, float]]:
    """Of each request that was answered, by when it was due."""
    lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    return sorted((line["intended_s"] - from_s, line["ttft_s"]) for line in lines if line["ending"] == "completed")


def ready(document: dict[str, Any], from_s: float) -> list[tuple[float, int]]:
    return [(at_s - from_s, count) for at_s, _, count in document["replicas"]["worker"]]


def really(folder: Path) -> Ran:
    """Processes of `penstock up`, under `penstock load`."""
    out = folder / "up"
    with running_up(spec(folder), "--json", "--out", str(out)) as up:
        up.until(up.is_serving)
        client = penstock("load", up.url, "--trace", traffic(folder, 1.0), "--json", "--out", folder / "load")
        up.until(lambda: up.serves_with(1), within_s=40)
        code, stdout = up.end()
        assert code == 0, up.errors
    began_s = json.loads((out / "run.json").read_text())["started_unix_s"]
    delay_s = client["client"]["began_unix_s"] - began_s + 1.0
    return Ran(ttft_s(folder / "load", 1.0), ready(json.loads(stdout), delay_s))


def virtually(folder: Path, real: Ran, *, slower: float = 1.0) -> Ran:
    """The same, the requests due as long after the deployment began, and processes that take as long to begin."""
    delay_s, out = -real.began_s, folder / f"virtual-{slower:g}"
    deployment = spec(folder, begin_s=real.first_ready_s - real.began_s - COLD_S, slower=slower)
    document = penstock("simulate", deployment, "--trace", traffic(folder, delay_s), "--json", "--out", out)
    return Ran(ttft_s(out, delay_s), ready(document, delay_s))


def apart(real: Ran, virtual: Ran) -> dict[str, float]:
    """How far the simulation is off, by what is bounded."""
    seconds = [tenth / 10 for tenth in range(500)]
    counts = [(real.ready_at(at_s), virtual.ready_at(at_s)) for at_s in seconds]
    real_s, virtual_s = (sum(column) for column in zip(*counts, strict=True))
    return {
        "calm TTFT": virtual.calm_ttft_s / real.calm_ttft_s - 1,
        "mean TTFT": virtual.mean_ttft_s / real.mean_ttft_s - 1,
        "replicas": sum(abs(a - b) for a, b in counts) / len(counts),
        "replica time": virtual_s / real_s - 1,
    }


def within(off: dict[str, float]) -> bool:
    return (
        abs(off["calm TTFT"]) <= CALM_TTFT_WITHIN
        and abs(off["mean TTFT"]) <= MEAN_TTFT_WITHIN
        and off["replicas"] <= REPLICAS_APART
        and abs(off["replica time"]) <= REPLICA_TIME_WITHIN
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_real_run_and_its_simulation_agree(tmp_path: Path) -> None:
    """And a simulator whose steps take 30 % longer would not."""
    real = really(tmp_path)
    virtual = virtually(tmp_path, real)
    assert len(real.ttft_s) == len(virtual.ttft_s) > 90
    assert max(count for _, count in real.ready) > 1
    off = apart(real, virtual)
    assert within(off), off
    wrong = apart(real, virtually(tmp_path, real, slower=1.3))
    assert not within(wrong), wrong
