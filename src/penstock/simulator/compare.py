"""Several deployments on one workload, and what would have been enough beside them (`yardsticks`).

Runs are independent, so they are spread over all cores.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from penstock.errors import GiveUp, InputError
from penstock.messages.confidence import Confidence
from penstock.messages.result import Result
from penstock.messages.spec import DeploymentBody
from penstock.simulator.jobs import Job, run_job
from penstock.simulator.recorded_run import RunRecord, simulate_recorded
from penstock.simulator.seeds import band, further_jobs
from penstock.simulator.watched_jobs import JobsSeen, WatchedJobs, watchers
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec
from penstock.simulator.yardsticks import Yardsticks, yardsticks_of
from penstock.telemetry.overlay import overlay
from penstock.telemetry.report import describe_run, write_described


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Results by deployment.

    Args:
        failed: deployments without a result, and why.
        overlays: what a comparison draws of each (`telemetry.overlay`), where a record was asked for.
        yardsticks: None, and `without_why`, where the first deployment cannot be.
    """

    results: Mapping[str, Result]
    failed: Mapping[str, GiveUp | InputError]
    overlays: Mapping[str, Mapping[str, Any]]
    yardsticks: Yardsticks | None
    without_why: str | None = None


def compare(
    specs: Mapping[str, DeploymentBody],
    source: WorkloadSource,
    *,
    world: WorldSpec | None = None,
    records: Mapping[str, RunRecord] | None = None,
    seeds: int = 1,
    errors: Mapping[str, Mapping[str, Confidence]] | None = None,
    tell: Callable[[str], None] = lambda line: None,
    watch: Callable[[JobsSeen], None] = lambda seen: None,
) -> Comparison:
    """Run them all.

    Args:
        specs: by name; the yardsticks take engine, targets and pools of the first.
        records: by name, where each deployment leaves its files and its report.
        seeds: runs of each deployment, for a band. errors: by name, what a profile may be off (`seeds.scaled`).
        tell: is given a line whenever a part is done. watch: is told from a thread how far all runs are.
    Raises: InputError or GiveUp, if no deployment could be simulated to its end.
    """
    records = records or {}
    with WatchedJobs(length_s=source.length_s(), tell=watch) as pool:
        running = {
            name: pool.submit(run_deployment, Job(spec=spec, source=source, world=world, record=records.get(name)))
            for name, spec in specs.items()
        }
        further = {
            name: [
                pool.submit(run_job, job)
                for job in further_jobs(
                    Job(spec=spec, source=source, world=world), (errors or {}).get(name, {}), seeds=seeds
                )
            ]
            for name, spec in specs.items()
        }
        first_name, first = next(iter(specs.items()))
        most = max(each.max_replicas for spec in specs.values() for each in spec.pools)
        yardsticks, why = None, None
        try:
            yardsticks = yardsticks_of(first, most, source, world, pool, tell)
        except (GiveUp, InputError) as error:
            why = f"{first_name} cannot be simulated: {error}"
        results, overlays, failed = {}, {}, {}
        for name, future in running.items():
            try:
                result, drawn = future.result()
                if further[name]:
                    every = [result, *(other.result() for other in further[name])]
                    result = replace(result, seeds=seeds, band=band(every))
            except (GiveUp, InputError) as error:
                failed[name] = error
                tell(f"{name}: failed: {error}")
                continue
            results[name] = result
            if drawn is not None:
                overlays[name] = drawn
            tell(f"{name}: done")
    if not results:
        raise _all_failed(failed)
    return Comparison(results=results, failed=failed, overlays=overlays, yardsticks=yardsticks, without_why=why)


def _all_failed(failed: Mapping[str, GiveUp | InputError]) -> GiveUp | InputError:
    """The first one's fault, under its name."""
    name, error = next(iter(failed.items()))
    if isinstance(error, InputError):
        return InputError(f"{name}: {error.where}", error.what, error.fix)
    return GiveUp(f"{name}: {error}")


def run_deployment(job: Job) -> tuple[Result, Mapping[str, Any] | None]:
    """One run, in whatever process. Returns: what a comparison draws of it too, if it is recorded."""
    if job.record is None:
        return run_job(job), None
    result = simulate_recorded(job.spec, job.source, job.record, world=job.world, listeners=watchers())
    described = describe_run(job.record.folder)
    write_described(job.record.folder, described)
    return result, overlay(described)
