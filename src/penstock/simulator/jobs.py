"""One run as a job for another process: what it is given, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.autoscale.base import Policy
from penstock.messages.result import Result
from penstock.messages.spec import DeploymentBody
from penstock.simulator.recorded_run import RunRecord
from penstock.simulator.run import simulate
from penstock.simulator.watched_jobs import watchers
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run, as another process can be asked for it."""

    spec: DeploymentBody
    source: WorkloadSource
    world: WorldSpec | None
    policies: Mapping[str, Policy[Any]] | None = None
    record: RunRecord | None = None


def run_job(job: Job) -> Result:
    """One run, in whatever process."""
    return simulate(
        job.spec,
        job.source.arrivals(),
        world=job.world,
        seed=job.source.seed,
        policies=job.policies,
        listeners=watchers(),
        before=job.source.before,
    ).result
