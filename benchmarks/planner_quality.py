"""How good the planner is with its defaults: workloads by lead times, beside HPA, KEDA, static peak and two yardsticks.

For each, GPU-hours and the share of windows within target. The optimum knows the future and pays the lead time; the
best simple policy's two numbers are chosen in hindsight on the same workload. All begin with what the first windows
need. One engine for all: a replica carries about 1.7 requests/s of 1,000 tokens in and 150 out.

    python benchmarks/planner_quality.py --minutes 180 --lead 60 180 480
    python benchmarks/planner_quality.py --only azure --azure AzureLLMInferenceTrace_code.csv
    python benchmarks/planner_quality.py --history-days 2

With --history-days the planner knows the demand of so many days before, drawn by another seed: the same shape at the
same hours, with other noise and other spikes. What repeats in less than a day, or never, goes on as it was. The two
recorded traces have no days before.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from penstock.autoscale.long_history import LongHistory, minutes_of
from penstock.messages.parse_spec import parse_spec
from penstock.messages.result import Result
from penstock.messages.spec import DeploymentBody
from penstock.simulator.jobs import Job, run_job
from penstock.simulator.needs import needed
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec
from penstock.simulator.yardsticks import yardsticks_of
from penstock.workload.pace import instants
from penstock.workload.workload_file import parse_workload

WORKLOADS = Path(__file__).parent.parent / "examples" / "workloads"
MOST = 40
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
HISTORY_SEED = 2718
SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {{name: quality}}
spec:
  model: {{name: any}}
  slo: {{ttftSeconds: {ttft_s}, itlSeconds: 0.1, percentile: 95}}
  components:
    - name: worker
      role: worker
      replicas: {replicas}
      engine:
        type: simulated
        maxModelLen: 140000
        kvBlocks: 30000
        stepTime:
          baseSeconds: 0.02
          prefillTokenSeconds: 2.0e-4
          prefillAttentionSeconds: 2.0e-9
          sequenceSeconds: 0.0002
          contextTokenSeconds: 1.0e-7
        startup: {{coldSeconds: {lead_s}, warmSeconds: {lead_s}}}
      gpu: {{vmSize: Standard_NC40ads_H100_v5, count: 1}}
      autoscaling: {scaling}
"""
OWNERS = {
    "planner": "{by: planner, min: 1, max: 40}",
    "hpa": "{by: hpa, min: 1, max: 40, requestsPerSecond: 1.2}",
    "keda": "{by: keda, min: 1, max: 40, triggers: [{metric: in_flight_requests, threshold: 8}]}",
}
SEASONS = "{by: planner, min: 1, max: 40, seasons: true}"  # with days before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A workload, and the TTFT that is asked for: the longest prompts of some take seconds alone."""

    name: str
    source: WorkloadSource
    ttft_s: float = 1.5


def spec_of(case: Case, scaling: str, *, replicas: int, lead_s: float) -> DeploymentBody:
    """The deployment of one run."""
    text = SPEC.format(ttft_s=case.ttft_s, replicas=replicas, lead_s=lead_s, scaling=scaling)
    return parse_spec(text, source=case.name).spec


def cases(arguments: argparse.Namespace) -> Iterator[Case]:
    """The workloads that were asked for."""
    length_s = arguments.minutes * 60.0
    days = arguments.history_days
    starts_s = {"day": 7 * HOUR_S, "business-hours": 8 * HOUR_S}
    for path in sorted(WORKLOADS.glob("*.yaml")):
        start_s = starts_s.get(path.stem, 0.0)
        source = WorkloadSource(trace=str(path), start_s=start_s, duration_s=length_s)
        if days and (not arguments.only or path.stem in arguments.only):
            source = replace(source, before=before(path, start_s=start_s, days=days))
        yield Case(name=path.stem, source=source)
    for name, ttft_s in (("azure", 3.0), ("mooncake", 10.0)):
        if (trace := getattr(arguments, name)) is not None:
            yield Case(name=name, source=WorkloadSource(trace=trace), ttft_s=ttft_s)


def before(path: Path, *, start_s: float, days: int) -> LongHistory:
    """The demand of the days before a workload, up to where it begins."""
    spec = parse_workload(path, name=path.stem).generate
    assert spec is not None
    rate = spec.rate
    if rate.points and rate.points_every_s is None:  # what is there once, is there every day, and quiet in between
        rest_s = spec.duration_s + 1.0
        points = (*rate.points, *((at_s, rate.points[0][1]) for at_s in (rest_s, DAY_S)))
        rate = rate.model_copy(update={"points": points, "points_every_s": DAY_S})
    instants_s = instants(rate, days * DAY_S + start_s, Random(HISTORY_SEED))
    return LongHistory.of(minutes_of(instants_s, length_s=days * DAY_S + start_s))


def rows(case: Case, leads_s: Sequence[float], pool: Executor) -> Iterator[str]:
    """A line for each lead time."""
    world = WorldSpec(running=True)
    need = needed(spec_of(case, OWNERS["planner"], replicas=1, lead_s=0.0), MOST, case.source, pool)
    counts = need["worker"]
    for lead_s in leads_s:
        first = max(1, *counts[: int(lead_s / 60) + 2])
        owners = OWNERS | ({"planner": SEASONS} if case.source.before.minute is not None else {})
        specs = {name: spec_of(case, scaling, replicas=first, lead_s=lead_s) for name, scaling in owners.items()}
        running = {
            name: pool.submit(run_job, Job(spec=spec, source=case.source, world=world)) for name, spec in specs.items()
        }
        found = yardsticks_of(specs["planner"], MOST, case.source, world, pool, need=need)
        cells = [f"{case.name:14} {lead_s:4.0f} {found.gpu_hours:8.1f} {max(counts) * len(counts) / 60:8.1f}"]
        cells += [told(result) for result in (found.hindsight.result, *(run.result() for run in running.values()))]
        yield " ".join(cells)


def told(result: Result) -> str:
    """GPU-hours, and windows within target."""
    assert result.gpu_hours is not None
    assert result.slo is not None
    return f"{result.gpu_hours.total:7.1f} {100 * result.slo.attainment:5.1f}%"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=180.0, help="of each made workload")
    parser.add_argument("--lead", type=float, nargs="+", default=[60.0, 180.0, 480.0], help="seconds")
    parser.add_argument("--history-days", type=int, default=0, help="that the planner knows before it begins")
    parser.add_argument("--azure", help="AzureLLMInferenceTrace_code.csv")
    parser.add_argument("--mooncake", help="Mooncake's conversation_trace.jsonl")
    parser.add_argument("--only", nargs="*", help="these workloads")
    arguments = parser.parse_args()
    heads = ("hindsight", *OWNERS)
    print(f"{'workload':14} lead  optimum   static " + " ".join(f"{head:>14}" for head in heads), flush=True)
    with ProcessPoolExecutor() as pool:
        for case in cases(arguments):
            if not arguments.only or case.name in arguments.only:
                for row in rows(case, arguments.lead, pool):
                    print(row, flush=True)
    print("GPU-hours, and windows within target", file=sys.stderr)


if __name__ == "__main__":
    main()
