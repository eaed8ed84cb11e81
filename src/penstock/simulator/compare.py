"""Several deployments on one workload, and two yardsticks beside them: the clairvoyant bound, and hindsight.

What each window needs is found by simulating every fixed count of replicas: the least that kept the window within
target. From that follow the cheapest counts that a clairvoyant could have had (`autoscale.clairvoyant`) and the best
simple policy (`hindsight`), which is simulated in turn, with more headroom until it truly attains its share. Runs are
independent, so they are spread over all cores.

The yardsticks are those of one pool of GPU replicas: a deployment with prefill and decode apart has none yet.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from penstock.autoscale.base import Policy
from penstock.autoscale.clairvoyant import Bound, clairvoyant_bound
from penstock.autoscale.reactive import ReactivePolicy
from penstock.errors import GiveUp
from penstock.hardware.vm_sizes import vm_size
from penstock.messages.result import Result
from penstock.messages.scaling_spec import NoScaling
from penstock.messages.spec import ComponentSpec, DeploymentBody
from penstock.simulator.hindsight import HEADROOM_STEP, best_in_hindsight
from penstock.simulator.recorded_run import RunRecord, simulate_recorded
from penstock.simulator.records import Records
from penstock.simulator.run import simulate
from penstock.simulator.watched_jobs import JobsSeen, WatchedJobs, watchers
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec
from penstock.telemetry.overlay import overlay
from penstock.telemetry.report import describe_run, write_described

ATTAIN = 0.99
SAMPLE_S = 5.0  # of the load, for the search in hindsight
MORE_HEADROOM = 12  # times that headroom is raised if the simulation attains less than the search


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run, as another process can be asked for it."""

    spec: DeploymentBody
    source: WorkloadSource
    world: WorldSpec | None
    policies: Mapping[str, Policy[Any]] | None = None
    record: RunRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """The best simple policy, simulated."""

    policy: ReactivePolicy
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardsticks:
    """What would have been enough. `need`: replicas per window."""

    optimum: Bound
    hindsight: Hindsight
    gpus: int
    usd_per_gpu_hour: float
    need: tuple[int, ...]
    lead_s: float


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
        why = _no_yardsticks(first)
        yardsticks = None if why is not None else _yardsticks(first, specs, source, world, pool, tell)
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


def run_job(job: Job) -> Result:
    """One run, in whatever process."""
    return simulate(
        job.spec,
        job.source.arrivals(),
        world=job.world,
        seed=job.source.seed,
        policies=job.policies,
        listeners=watchers(),
    ).result


def windows_met(job: Job) -> list[tuple[float, bool]]:
    """One run: where each window that had a request starts, and whether it was met."""
    records = Records(job.spec.slo)
    with contextlib.suppress(GiveUp):  # too few replicas by far: no window after that is met
        simulate(
            job.spec,
            job.source.arrivals(),
            world=job.world,
            seed=job.source.seed,
            listeners=watchers(),
            records=records,
        )
    return [(window.start_s, window.met(job.spec.slo)) for window in records.summary.windows]


def _yardsticks(
    spec: DeploymentBody,
    specs: Mapping[str, DeploymentBody],
    source: WorkloadSource,
    world: WorldSpec | None,
    pool: Executor,
    tell: Callable[[str], None],
) -> Yardsticks:
    (component,) = spec.pools
    most = max(each.max_replicas for other in specs.values() for each in other.pools)
    jobs = [Job(spec=_fixed(spec, count), source=source, world=None) for count in range(1, most + 1)]
    need = _need(list(pool.map(windows_met, jobs)), spec.slo.window_s)
    tell(f"what each window needs: done, at most {max(need)} replicas")
    lead_s = _lead_s(component, world)
    loads = _loads(source)
    policy = best_in_hindsight(
        loads, need, sample_s=SAMPLE_S, window_s=spec.slo.window_s, lead_s=lead_s, most=most, attain=ATTAIN
    )
    hindsight = _enough(spec, policy, source, world, pool)
    tell("best simple policy in hindsight: done")
    gpu, sizes = component.gpu, (world or WorldSpec()).sizes
    return Yardsticks(
        optimum=clairvoyant_bound(need, window_s=spec.slo.window_s, lead_s=lead_s, may_miss=1 - ATTAIN),
        hindsight=hindsight,
        gpus=gpu.count if gpu is not None else 1,
        usd_per_gpu_hour=vm_size(gpu.vm_size, sizes=sizes).usd_per_gpu_hour if gpu is not None else 0.0,
        need=tuple(need),
        lead_s=lead_s,
    )


def _enough(
    spec: DeploymentBody, policy: ReactivePolicy, source: WorkloadSource, world: WorldSpec | None, pool: Executor
) -> Hindsight:
    """Simulate it, with more headroom until it attains what it should."""
    (component,) = spec.pools
    spec = _with(spec, component.model_copy(update={"replicas": 1, "autoscaling": NoScaling(by="external")}))
    for _ in range(MORE_HEADROOM):
        job = Job(spec=spec, source=source, world=world, policies={component.name: policy})
        result = pool.submit(run_job, job).result()
        if result.slo is not None and result.slo.attainment >= ATTAIN:
            break
        policy = replace(policy, headroom=policy.headroom * HEADROOM_STEP)
    return Hindsight(policy=policy, result=result)


def _need(met_by_count: Sequence[list[tuple[float, bool]]], window_s: float) -> list[int]:
    """The least count that met each window, or the largest tried where none did; 0 where no request came."""
    most = len(met_by_count)
    windows = max(met_by_count, key=len)  # a run that gave up has fewer
    length = max(round(start_s / window_s) for start_s, _ in windows) + 1
    need = [0] * length
    for start_s, _ in windows:
        need[round(start_s / window_s)] = most
    for count in range(most, 0, -1):
        for start_s, met in met_by_count[count - 1]:
            if met:
                need[round(start_s / window_s)] = count
    return need


def _loads(source: WorkloadSource) -> list[float]:
    counts: list[float] = []
    for arrival in source.arrivals():
        place = int(arrival.arrival_s // SAMPLE_S)
        counts.extend([0.0] * (place + 1 - len(counts)))
        counts[place] += 1 / SAMPLE_S
    return counts


def _lead_s(component: ComponentSpec, world: WorldSpec | None) -> float:
    """What a cold start takes on average."""
    if world is None:
        return component.engine.startup.cold_s
    for nodes in world.node_pools:
        if component.gpu is not None and nodes.vm_size.lower() == component.gpu.vm_size.lower():
            return nodes.scan_s / 2 + nodes.provision_mean_s + world.pod_start.cold_mean_s
    return component.engine.startup.cold_s


def _fixed(spec: DeploymentBody, replicas: int) -> DeploymentBody:
    """That many replicas, there from the start."""
    (component,) = spec.pools
    startup = component.engine.startup.model_copy(update={"cold_s": 0.0, "warm_s": 0.0})
    engine = component.engine.model_copy(update={"startup": startup})
    fixed = component.model_copy(update={"replicas": replicas, "autoscaling": NoScaling(by="none"), "engine": engine})
    return _with(spec, fixed)


def _with(spec: DeploymentBody, component: ComponentSpec) -> DeploymentBody:
    return spec.model_copy(
        update={"components": tuple(component if c.name == component.name else c for c in spec.components)}
    )


def _no_yardsticks(spec: DeploymentBody) -> str | None:
    if len(spec.pools) != 1:
        return f"the yardsticks are of one pool, and this deployment has {len(spec.pools)}"
    return None
