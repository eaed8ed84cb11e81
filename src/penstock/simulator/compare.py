"""Several deployments on one workload, and what would have been enough beside them (`yardsticks`).

Runs are independent, so they are spread over all cores.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.messages.result import Result
from penstock.messages.spec import DeploymentBody
from penstock.simulator.jobs import Job, run_job
from penstock.simulator.recorded_run import RunRecord, simulate_recorded
from penstock.simulator.watched_jobs import JobsSeen, WatchedJobs, watchers
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec
from penstock.simulator.yardsticks import Yardsticks, why_none, yardsticks_of
from penstock.telemetry.overlay import overlay
from penstock.telemetry.report import describe_run, write_described


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Results by deployment; `yardsticks`: None, and `without_why`, where they do not apply.

    `overlays`: what a comparison draws of each (`telemetry.overlay`), where a record was asked for.
    """

    results: Mapping[str, Result]
    overlays: Mapping[str, Mapping[str, Any]]
    yardsticks: Yardsticks | None
    without_why: str | None = None


def compare(
    specs: Mapping[str, DeploymentBody],
    source: WorkloadSource,
    *,
    world: WorldSpec | None = None,
    records: Mapping[str, RunRecord] | None = None,
    tell: Callable[[str], None] = lambda line: None,
    watch: Callable[[JobsSeen], None] = lambda seen: None,
) -> Comparison:
    """Run them all.

    Args:
        specs: by name; the yardsticks take engine, targets and bounds of the first.
        records: by name, where each deployment leaves its files and its report.
        tell: is given a line whenever a part is done. watch: is told from a thread how far all runs are.
    """
    records = records or {}
    with WatchedJobs(length_s=source.length_s(), tell=watch) as pool:
        running = {
            name: pool.submit(run_deployment, Job(spec=spec, source=source, world=world, record=records.get(name)))
            for name, spec in specs.items()
        }
        first = next(iter(specs.values()))
        why = why_none(first)
        most = max(each.max_replicas for spec in specs.values() for each in spec.pools)
        yardsticks = None if why is not None else yardsticks_of(first, most, source, world, pool, tell)
        results, overlays = {}, {}
        for name, future in running.items():
            results[name], drawn = future.result()
            if drawn is not None:
                overlays[name] = drawn
            tell(f"{name}: done")
    return Comparison(results=results, overlays=overlays, yardsticks=yardsticks, without_why=why)


def run_deployment(job: Job) -> tuple[Result, Mapping[str, Any] | None]:
    """One run, in whatever process. Returns: what a comparison draws of it too, if it is recorded."""
    if job.record is None:
        return run_job(job), None
    result = simulate_recorded(job.spec, job.source, job.record, world=job.world, listeners=watchers())
    described = describe_run(job.record.folder)
    write_described(job.record.folder, described)
    return result, overlay(described)
