"""What would have been enough: the clairvoyant bound, and the best simple policy in hindsight.

From what each window needed (`needs`) follow the cheapest counts that a clairvoyant could have had
(`autoscale.clairvoyant`) and the best simple policy (`hindsight`), which is simulated in turn, with more headroom until
it truly attains its share. Both begin with what the deployment begins with.

Pools apart, as prefill and decode, are bounded each while the other is ample, and the bounds are added up: together
they would need that much or more. Where a world has placeholders, the clairvoyant takes the cheaper of two: it pays for
them all along and starts on warm nodes, or it does without and starts early.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from penstock.autoscale.clairvoyant import Bound, clairvoyant_bound
from penstock.autoscale.reactive import ReactivePolicy
from penstock.errors import GiveUp
from penstock.hardware.vm_sizes import vm_size
from penstock.messages.result import Result
from penstock.messages.scaling_spec import NoScaling
from penstock.messages.spec import ComponentSpec, DeploymentBody
from penstock.simulator.hindsight import HEADROOM_STEP, PoolNeed, best_in_hindsight, least_power
from penstock.simulator.jobs import Job, run_job
from penstock.simulator.needs import Needs, needed
from penstock.simulator.start_costs import StartCost, start_costs
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec

ATTAIN = 0.99
SAMPLE_S = 5.0  # of the load, for the search in hindsight
MORE_HEADROOM = 12  # times at most that headroom is raised if the simulation attains less than the search


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """The best simple policy, simulated. `policies`: by pool, all with the same window and headroom."""

    policies: Mapping[str, ReactivePolicy]
    result: Result
    runs: int

    @property
    def policy(self) -> ReactivePolicy:
        """One of them, for its window and headroom."""
        return next(iter(self.policies.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptimum:
    """One pool. `need`: replicas per window. `start`: what the clairvoyant chose to pay for a start."""

    need: tuple[int, ...]
    bound: Bound
    start: StartCost
    gpus: int
    usd_per_gpu_hour: float

    @property
    def gpu_s(self) -> float:
        """GPU-seconds of replicas and placeholders."""
        return self.bound.total_s * self.gpus + self.start.standing_gpus * self.start.span_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardsticks:
    """What would have been enough, by pool."""

    pools: Mapping[str, PoolOptimum]
    hindsight: Hindsight
    window_s: float

    @property
    def gpu_hours(self) -> float:
        """Of the clairvoyant bound."""
        return sum(pool.gpu_s for pool in self.pools.values()) / 3600

    @property
    def cost_usd(self) -> float:
        """Of the clairvoyant bound."""
        return sum(pool.gpu_s * pool.usd_per_gpu_hour for pool in self.pools.values()) / 3600

    @property
    def lead_s(self) -> float:
        """The longest that a start took."""
        return max(pool.start.lead_s for pool in self.pools.values())

    @property
    def need(self) -> tuple[int, ...]:
        """Replicas per window, of all pools."""
        return tuple(map(sum, zip(*(pool.need for pool in self.pools.values()), strict=True)))

    @property
    def counts(self) -> tuple[int, ...]:
        """Replicas per window that the clairvoyant had, of all pools."""
        return tuple(map(sum, zip(*(pool.bound.counts for pool in self.pools.values()), strict=True)))


def yardsticks_of(
    spec: DeploymentBody,
    most: int,
    source: WorkloadSource,
    world: WorldSpec | None,
    pool: Executor,
    tell: Callable[[str], None] = lambda line: None,
    *,
    need: Needs | None = None,
) -> Yardsticks:
    """Both yardsticks, by simulation.

    Args:
        most: replicas that any pool of any policy may have.
        need: replicas per window, if known from before.
        pool: where runs go. tell: is given a line whenever a part is done.
    """
    need = need or needed(spec, most, source, pool)
    largest = ", ".join(f"{max(counts)} of {name}" for name, counts in need.items())
    tell(f"what each window needs: done, at most {largest}")
    optima = {component.name: _optimum(component, tuple(need[component.name]), spec, world) for component in spec.pools}
    pools = {
        component.name: PoolNeed(
            need=optima[component.name].need,
            lead_s=start_costs(component, world, span_s=0.0)[-1].lead_s,  # placeholders are there, wanted or not
            weight=optima[component.name].gpus * (optima[component.name].usd_per_gpu_hour or 1.0),
        )
        for component in spec.pools
    }
    policies = best_in_hindsight(
        _loads(source), pools, sample_s=SAMPLE_S, window_s=spec.slo.window_s, most=most, attain=ATTAIN
    )
    hindsight = _enough(spec, policies, source, world, pool)
    tell(f"best simple policy in hindsight: done, {hindsight.runs} simulated")
    return Yardsticks(pools=optima, hindsight=hindsight, window_s=spec.slo.window_s)


def _optimum(
    component: ComponentSpec, need: tuple[int, ...], spec: DeploymentBody, world: WorldSpec | None
) -> PoolOptimum:
    window_s = spec.slo.window_s
    starts = start_costs(component, world, span_s=len(need) * window_s, sharers=len(spec.pools))
    gpu, sizes = component.gpu, (world or WorldSpec()).sizes
    standing = component.initial_replicas if world is not None and world.running else 0
    return min(
        (
            PoolOptimum(
                need=need,
                bound=clairvoyant_bound(
                    need, window_s=window_s, lead_s=start.lead_s, may_miss=1 - ATTAIN, standing=standing
                ),
                start=start,
                gpus=gpu.count if gpu is not None else 1,
                usd_per_gpu_hour=vm_size(gpu.vm_size, sizes=sizes).usd_per_gpu_hour if gpu is not None else 0.0,
            )
            for start in starts
        ),
        key=lambda found: found.gpu_s,
    )


def _enough(
    spec: DeploymentBody,
    policies: Mapping[str, ReactivePolicy],
    source: WorkloadSource,
    world: WorldSpec | None,
    pool: Executor,
) -> Hindsight:
    """Simulate it, with more headroom until it attains what it should."""
    spec = spec.model_copy(
        update={
            "components": tuple(
                each.model_copy(update={"replicas": each.initial_replicas, "autoscaling": NoScaling(by="external")})
                if each.name in policies
                else each
                for each in spec.components
            )
        }
    )
    tried: dict[int, Hindsight] = {}

    def simulated(power: int) -> Hindsight:
        if power not in tried:
            raised = {
                name: replace(policy, headroom=policy.headroom * HEADROOM_STEP**power)
                for name, policy in policies.items()
            }
            job = Job(spec=spec, source=source, world=world, policies=raised)
            result = pool.submit(run_job, job).result()
            tried[power] = Hindsight(policies=raised, result=result, runs=0)
        return tried[power]

    def enough(power: int) -> bool:
        try:
            slo = simulated(power).result.slo
        except GiveUp:  # far from it: the backlog grows without bound
            return False
        return slo is not None and slo.attainment >= ATTAIN

    found = simulated(least_power(enough, MORE_HEADROOM))
    return replace(found, runs=len(tried))


def _loads(source: WorkloadSource) -> list[float]:
    counts: list[float] = []
    for arrival in source.arrivals():
        place = int(arrival.arrival_s // SAMPLE_S)
        counts.extend([0.0] * (place + 1 - len(counts)))
        counts[place] += 1 / SAMPLE_S
    return counts
