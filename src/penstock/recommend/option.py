"""One way to serve a model: GPUs, how it is cut, aggregated or disaggregated; and what is known of it so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from penstock.hardware.gpus import Gpu
from penstock.hardware.vm_sizes import VmSize
from penstock.messages.engine_spec import EngineSpec, GpuSpec
from penstock.messages.result import Result
from penstock.messages.scaling_spec import NoScaling
from penstock.messages.spec import ComponentSpec, DeploymentBody, ModelSpec, SloSpec
from penstock.messages.worker import Role

Mode = Literal["aggregated", "disaggregated"]
MODES: tuple[Mode, ...] = ("aggregated", "disaggregated")
ROLES: dict[Mode, tuple[Role, ...]] = {
    "aggregated": (Role.WORKER,),
    "disaggregated": (Role.PREFILL, Role.DECODE),
}
Counts = tuple[int, ...]  # replicas by role, in the order of ROLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A model on some GPUs of one kind. `sizes`: the VM sizes that have such GPUs, enough of them."""

    gpu: Gpu
    gpus: int
    sizes: tuple[VmSize, ...]

    def vms(self, size: VmSize, replicas: int) -> int:
        """VMs of that size that so many replicas take; none is spread over two."""
        return math.ceil(replicas / (size.gpus // self.gpus))

    def size_for(self, replicas: int) -> VmSize:
        """The VM size that holds so many replicas at the least price, in whole VMs."""
        return min(self.sizes, key=lambda size: (self.vms(size, replicas) * size.usd_per_hour, size.gpus))

    def usd_per_hour(self, replicas: int) -> float:
        """Of whole VMs: the GPUs that are left over in one are paid for too."""
        size = self.size_for(replicas)
        return self.vms(size, replicas) * size.usd_per_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One simulation: with these counts, this came out."""

    counts: Counts
    usd_per_hour: float
    result: Result

    @property
    def attainment(self) -> float:
        return self.result.slo.attainment if self.result.slo is not None else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A cut in a mode, and what is known of it.

    Args:
        engine: with what the profile knows; None if the model does not fit.
        why_not: why it cannot hold the targets; None as far as is known.
        per_replica: requests/s that one replica of each role holds, rehearsed.
        fewest: replicas that the busiest minute takes at that rate: hardly fewer will do.
        counts: to begin with, between these and what the worst burst would take.
        trials: its simulations; chosen: the one with the fewest replicas that hold the targets.
    """

    cut: Cut
    mode: Mode
    engine: EngineSpec | None = None
    why_not: str | None = None
    per_replica: tuple[float, ...] = ()
    fewest: Counts = ()
    counts: Counts = ()
    trials: tuple[Trial, ...] = ()
    chosen: Trial | None = None

    @property
    def name(self) -> str:
        """GPU and cut."""
        return f"{self.cut.gpus} x {self.cut.gpu.name}"

    @property
    def replicas(self) -> Counts:
        """As simulated, else as estimated; empty if neither is known."""
        return self.chosen.counts if self.chosen is not None else self.counts

    @property
    def usd_per_hour(self) -> float | None:
        """As simulated, else as estimated."""
        return self.cut.usd_per_hour(sum(self.replicas)) if self.replicas else None

    @property
    def simulated(self) -> bool:
        return bool(self.trials)


def deployment(model: ModelSpec, slo: SloSpec, option: Option, counts: Sequence[int]) -> DeploymentBody:
    """The option with fixed replicas, there from the start."""
    assert option.engine is not None
    startup = option.engine.startup.model_copy(update={"cold_s": 0.0, "warm_s": 0.0})
    return body(model, slo, option, counts, option.engine.model_copy(update={"startup": startup}))


def body(model: ModelSpec, slo: SloSpec, option: Option, counts: Sequence[int], engine: EngineSpec) -> DeploymentBody:
    """The option as a deployment of these engines."""
    size = option.cut.size_for(sum(counts))
    pools = tuple(
        ComponentSpec(
            name=str(role),
            role=role,
            replicas=count,
            engine=engine,
            gpu=GpuSpec(vm_size=size.name, count=option.cut.gpus),
            autoscaling=NoScaling(by="none"),
        )
        for role, count in zip(ROLES[option.mode], counts, strict=True)
    )
    frontend = ComponentSpec(name="frontend", role=Role.FRONTEND)
    return DeploymentBody(model=model, slo=slo, components=(frontend, *pools))
