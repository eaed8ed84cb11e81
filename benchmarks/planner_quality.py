"""How good the planner is with its defaults: workloads by lead times, beside HPA, KEDA, static peak and two yardsticks.

For each, GPU-hours (and over the optimum's), and the share of windows within target. The optimum knows the future and
pays the lead time; the best simple policy's two numbers are chosen in hindsight on the same workload. All begin with
what the first windows need. One engine for all: a replica carries about 1.7 requests/s of 1,000 tokens in and 150 out.

    python benchmarks/planner_quality.py --out quality.jsonl \\
        --trace AzureLLMInferenceTrace_code.csv@3 mooncake_conversation_trace.jsonl@30
    python benchmarks/planner_quality.py --only ramps --lead 480 --minutes 120
    python benchmarks/planner_quality.py --only day --seed 7 --owners hindsight planner seasons

With --out it goes on where it was stopped. `seasons` is the planner with `seasons: true`, which knows the demand of
--history-days before, drawn by another seed: the same shape at the same hours, with other noise and other spikes. What
repeats in less than a day, or never, goes on as it was. Recorded traces have no days before. Over two million
requests at three lead times take about two hours of one core.
"""

import argparse
import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from quality_results import Results, table

from penstock.autoscale.long_history import LongHistory, minutes_of
from penstock.errors import GiveUp
from penstock.messages.parse_spec import parse_spec
from penstock.messages.result import Result
from penstock.messages.spec import DeploymentBody
from penstock.simulator.jobs import Job, run_job
from penstock.simulator.needs import needed
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec
from penstock.simulator.yardsticks import yardsticks_of
from penstock.workload.arrival import Arrival
from penstock.workload.pace import instants
from penstock.workload.workload_file import parse_workload

WORKLOADS = Path(__file__).parent.parent / "examples" / "workloads"
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
STRETCHES_H = {  # of each made workload: where it begins, and how long it lasts
    "bursty": (0, 2),
    "mmpp": (0, 3),
    "sessions": (0, 2),
    "ramps": (0, 6.5),
    "business-hours": (7, 8),
    "day": (0, 24),
}
MOST = 40
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
    "seasons": "{by: planner, min: 1, max: 40, seasons: true}",
    "hpa": "{by: hpa, min: 1, max: 40, requestsPerSecond: 1.2}",
    "keda": "{by: keda, min: 1, max: 40, triggers: [{metric: in_flight_requests, threshold: 8}]}",
}


class KeptSource(WorkloadSource):
    """A workload that a process keeps: it is run some twenty times, and making it is a third of a run."""

    def arrivals(self) -> Iterator[Arrival]:
        """Yield its requests."""
        return iter(_kept(self.trace, self.start_s, self.duration_s, self.seed))


@lru_cache(maxsize=1)
def _kept(trace: str, start_s: float, duration_s: float | None, seed: int) -> tuple[Arrival, ...]:
    source = WorkloadSource(trace=trace, start_s=start_s, duration_s=duration_s, seed=seed)
    arrivals = tuple(source.arrivals())
    gc.freeze()  # a million objects that are never to be looked through
    return arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A workload, and the TTFT that is asked for: the longest prompts of some take seconds alone.

    Args:
        made: the workload file, if it is no recorded trace.
    """

    name: str
    source: WorkloadSource
    ttft_s: float = 1.5
    made: Path | None = None


def spec_of(case: Case, scaling: str, *, replicas: int, lead_s: float) -> DeploymentBody:
    """The deployment of one run."""
    text = SPEC.format(ttft_s=case.ttft_s, replicas=replicas, lead_s=lead_s, scaling=scaling)
    return parse_spec(text, source=case.name).spec


def cases(arguments: argparse.Namespace) -> Iterator[Case]:
    """The workloads that were asked for, the shortest first."""
    for asked in arguments.trace:
        path, _, ttft_s = asked.partition("@")
        yield Case(name=Path(path).stem, source=KeptSource(trace=path), ttft_s=float(ttft_s or 1.5))
    for name, (start_h, hours) in STRETCHES_H.items():
        if not arguments.only or name in arguments.only:
            path = WORKLOADS / f"{name}.yaml"
            length_s = min(hours * HOUR_S, arguments.minutes * 60.0)
            source = KeptSource(trace=str(path), start_s=start_h * HOUR_S, duration_s=length_s, seed=arguments.seed)
            yield Case(name=name, source=source, made=path)


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


def measure(
    case: Case, lead_s: float, owner: str, need: Mapping[str, Sequence[int]], days: int, pool: Executor
) -> dict[str, Any] | None:
    """One run; None, where it is the same as another."""
    world = WorldSpec(running=True)
    counts = need["worker"]
    first = max(1, *counts[: int(lead_s / 60) + 2])
    if owner == "hindsight":
        spec = spec_of(case, OWNERS["planner"], replicas=first, lead_s=lead_s)
        found = yardsticks_of(spec, MOST, case.source, world, pool, need={"worker": list(counts)})
        static = max(counts) * len(counts) / 60
        return figures(found.hindsight.result) | {"optimum": found.gpu_hours, "static": static}
    source = case.source
    if owner == "seasons":
        if case.made is None:
            return None
        source = replace(source, before=before(case.made, start_s=source.start_s, days=days))
    spec = spec_of(case, OWNERS[owner], replicas=first, lead_s=lead_s)
    try:
        return figures(pool.submit(run_job, Job(spec=spec, source=source, world=world)).result())
    except GiveUp:
        return {"failed": "drowns"}


def figures(result: Result) -> dict[str, Any]:
    """What a run cost, and the share of windows within target."""
    assert result.gpu_hours is not None
    assert result.slo is not None
    return {"gpu_hours": result.gpu_hours.total, "attainment": result.slo.attainment}


def main() -> None:
    heads = ("hindsight", *OWNERS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1440.0, help="of each made workload, at most")
    parser.add_argument("--lead", type=float, nargs="+", default=[60.0, 180.0, 480.0], help="seconds")
    parser.add_argument("--seed", type=int, default=0, help="added to that of the made workloads")
    parser.add_argument("--history-days", type=int, default=2, help="that `seasons` knows before it begins")
    parser.add_argument("--trace", nargs="*", default=[], help="recorded traces, each FILE or FILE@TTFT_S")
    parser.add_argument("--only", nargs="*", help="these made workloads", choices=[*STRETCHES_H, "none"])
    parser.add_argument("--owners", nargs="*", default=heads, choices=heads)
    parser.add_argument("--out", type=Path, help="JSON lines: what is there is not run again")
    parser.add_argument("--again", nargs="*", default=[], choices=heads, help="these, even if they are there")
    parser.add_argument("--processes", type=int, help="by default as many as there are cores")
    arguments = parser.parse_args()
    results = Results.of(arguments.out)
    with ProcessPoolExecutor(arguments.processes) as pool:
        for case in cases(arguments):
            named = f"{case.name}, seed {arguments.seed}" if arguments.seed and case.made else case.name
            if (named, "", "need") not in results.found:
                spec = spec_of(case, OWNERS["planner"], replicas=1, lead_s=0.0)
                results.note((named, "", "need"), needed(spec, MOST, case.source, pool))
            need = results.found[named, "", "need"]
            for lead_s in arguments.lead:
                for owner in arguments.owners:
                    key = (named, f"{lead_s:.0f}", owner)
                    if key not in results.found or owner in arguments.again:
                        run = measure(case, lead_s, owner, need, arguments.history_days, pool)
                        if run is not None:
                            results.note(key, run)
                            print(*key, run, file=sys.stderr, flush=True)
    print("\n".join(table(results, heads)))


if __name__ == "__main__":
    main()
