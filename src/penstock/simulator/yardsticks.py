"""What would have been enough: the clairvoyant bound, and the best simple policy in hindsight.

What each window needs is found by simulating every fixed count of replicas: the least that kept the window within
target. From that follow the cheapest counts that a clairvoyant could have had (`autoscale.clairvoyant`) and the best
simple policy (`hindsight`), which is simulated in turn, with more headroom until it truly attains its share. Both begin
with what the deployment begins with.

They are of one pool of GPU replicas: a deployment with prefill and decode apart has none yet.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from penstock.autoscale.clairvoyant import Bound, clairvoyant_bound
from penstock.autoscale.reactive import ReactivePolicy
from penstock.hardware.vm_sizes import vm_size
from penstock.messages.result import Result
from penstock.messages.scaling_spec import NoScaling
from penstock.messages.spec import ComponentSpec, DeploymentBody
from penstock.simulator.hindsight import HEADROOM_STEP, best_in_hindsight
from penstock.simulator.jobs import Job, run_job, windows_met
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec

ATTAIN = 0.99
SAMPLE_S = 5.0  # of the load, for the search in hindsight
MORE_HEADROOM = 12  # times that headroom is raised if the simulation attains less than the search


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


def yardsticks_of(
    spec: DeploymentBody,
    most: int,
    source: WorkloadSource,
    world: WorldSpec | None,
    pool: Executor,
    tell: Callable[[str], None] = lambda line: None,
    *,
    need: Sequence[int] | None = None,
) -> Yardsticks:
    """Both yardsticks, by simulation.

    Args:
        spec: of one pool (`why_none`). most: replicas that any policy may have.
        need: replicas per window, if known from before.
        pool: where runs go. tell: is given a line whenever a part is done.
    """
    (component,) = spec.pools
    need = need or needed(spec, most, source, pool)
    tell(f"what each window needs: done, at most {max(need)} replicas")
    lead_s = _lead_s(component, world)
    loads = _loads(source)
    policy = best_in_hindsight(
        loads, need, sample_s=SAMPLE_S, window_s=spec.slo.window_s, lead_s=lead_s, most=most, attain=ATTAIN
    )
    hindsight = _enough(spec, policy, source, world, pool)
    tell("best simple policy in hindsight: done")
    standing = component.initial_replicas if world is not None and world.running else 0
    gpu, sizes = component.gpu, (world or WorldSpec()).sizes
    return Yardsticks(
        optimum=clairvoyant_bound(
            need, window_s=spec.slo.window_s, lead_s=lead_s, may_miss=1 - ATTAIN, standing=standing
        ),
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
    spec = _with(
        spec,
        component.model_copy(update={"replicas": component.initial_replicas, "autoscaling": NoScaling(by="external")}),
    )
    for _ in range(MORE_HEADROOM):
        job = Job(spec=spec, source=source, world=world, policies={component.name: policy})
        result = pool.submit(run_job, job).result()
        if result.slo is not None and result.slo.attainment >= ATTAIN:
            break
        policy = replace(policy, headroom=policy.headroom * HEADROOM_STEP)
    return Hindsight(policy=policy, result=result)


def needed(spec: DeploymentBody, most: int, source: WorkloadSource, pool: Executor) -> list[int]:
    """Replicas that each window needed, by simulating every fixed count up to `most`; shape (n_windows,)."""
    jobs = [Job(spec=_fixed(spec, count), source=source, world=None) for count in range(1, most + 1)]
    return _need(list(pool.map(windows_met, jobs)), spec.slo.window_s)


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


def why_none(spec: DeploymentBody) -> str | None:
    if len(spec.pools) != 1:
        return f"the yardsticks are of one pool, and this deployment has {len(spec.pools)}"
    return None
