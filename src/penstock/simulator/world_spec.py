"""What surrounds a deployment in the virtual cluster: nodes, failures, how long things take, what is seen of it all.

A file of kind `VirtualCluster`, given to `penstock simulate --world`; without one, the world is that of `penstock up`:
replicas start in the time that the deployment's `startup` says, on VMs that come and go with them, nothing fails, and
metrics are read once a second as they are. The way of the metrics is in `metrics_spec`, prices are in `price_spec`.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.errors import InputError
from penstock.hardware.vm_sizes import VmSize, vm_size
from penstock.messages.fields import SpecModel
from penstock.simulator.metrics_spec import MetricsSpec
from penstock.simulator.price_spec import VmPriceSpec, priced


class DelaySpec(SpecModel):
    """A duration drawn anew each time, by its mean and spread."""

    mean_s: float = Field(ge=0, le=86_400)
    """Mean, in seconds."""
    cv: float = Field(default=0.0, ge=0, le=3)
    """Standard deviation over mean; 0: always the mean."""
    distribution: Literal["lognormal", "normal"] = "lognormal"
    """`lognormal` has the long tail that starts have; `normal` is cut off at 0."""


class PlaceholderSpec(SpecModel):
    """Pods that do nothing at a low priority: they hold GPU nodes until real pods take their place."""

    count: int = Field(default=0, ge=0, le=10_000)
    """Placeholders that there should be; one without room is pending, so the cluster autoscaler buys a node for it."""
    gpus: int | None = Field(default=None, ge=1, le=64)
    """GPUs that each asks for. Default: all of a node."""
    leave_s: float = Field(default=2.0, ge=0, le=600)
    """Seconds until one that is preempted has left."""


class NodePoolSpec(SpecModel):
    """GPU nodes of one VM size under the cluster autoscaler. Defaults are AKS'."""

    vm_size: str
    """Azure VM size; pods that name it run here."""
    min_nodes: int = Field(default=0, ge=0, le=10_000)
    """Nodes that are always there, and are bought again when one fails."""
    max_nodes: int = Field(default=1000, ge=0, le=10_000)
    """Nodes at most: the pool's maximum, or the quota if that is less."""
    vm: DelaySpec = DelaySpec(mean_s=180.0, cv=0.15)
    """From asking for a node until it joins: VM, operating system, kubelet."""
    driver: DelaySpec = DelaySpec(mean_s=60.0, cv=0.15)
    """From joining until it advertises its GPUs: driver, device plugin."""
    restart: DelaySpec = DelaySpec(mean_s=90.0, cv=0.15)
    """Both, for a node that was deallocated and kept its disk."""
    deallocate: bool = False
    """Scale-down mode Deallocate: the disk is kept, with image and weights, and costs nothing here."""
    scan_s: float = Field(default=10.0, gt=0, le=600)
    """Seconds between two scans of the cluster autoscaler."""
    unneeded_s: float = Field(default=600.0, ge=0, le=86_400)
    """Seconds without a pod after which a node goes."""
    delay_after_add_s: float = Field(default=600.0, ge=0, le=86_400)
    """Seconds after an addition in which no node goes."""
    back_off_s: float = Field(default=300.0, ge=0, le=86_400)
    """Seconds until the cloud is asked again after it had none."""
    stock_outs: tuple[tuple[float, float], ...] = ()
    """Spans, in seconds of the run, in which the cloud has none."""
    placeholders: PlaceholderSpec = PlaceholderSpec()
    """Warm capacity."""
    prefetch: Literal["nothing", "image", "weights"] = "nothing"
    """What a DaemonSet fetches to each node's disk once it has joined; `weights`: the image, then the weights."""
    maintenance_s: tuple[float, ...] = ()
    """Instants, in seconds of the run, at which the oldest node is cordoned: its pods drain, then it goes."""

    @property
    def provision_mean_s(self) -> float:
        """Mean seconds from asking for a new node until pods can run there."""
        return self.vm.mean_s + self.driver.mean_s


class PodStartSpec(SpecModel):
    """From being placed on a node until it serves. What the node's disk has already is not fetched again."""

    image: DelaySpec = DelaySpec(mean_s=60.0, cv=0.15)
    """Pulling the image."""
    weights: DelaySpec = DelaySpec(mean_s=90.0, cv=0.15)
    """Fetching the weights."""
    engine: DelaySpec = DelaySpec(mean_s=45.0, cv=0.1)
    """Starting the engine: weights to the GPU, graphs, warm-up."""

    @property
    def cold_mean_s(self) -> float:
        """Mean seconds of all of it."""
        return self.image.mean_s + self.weights.mean_s + self.engine.mean_s


class FailureSpec(SpecModel):
    """Something fails at a stated instant; which one is drawn."""

    seconds: float = Field(ge=0)
    """Seconds of the run."""
    worker: str | None = None
    """A component: so many of its ready workers crash."""
    node: str | None = None
    """A VM size: so many of its nodes are lost."""
    count: int = Field(default=1, ge=1, le=10_000)
    """How many, or as many as there are."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.worker is None) == (self.node is None):
            raise ValueError("a failure is of a worker or of a node; give one of worker and node")
        return self


class FailuresSpec(SpecModel):
    """What fails: at exponential intervals, at stated instants, or both."""

    worker_mean_hours: float | None = Field(default=None, gt=0, le=1_000_000)
    """Mean hours that a worker serves until it crashes. Its pod starts it again, after Kubernetes' back-off."""
    node_mean_hours: float | None = Field(default=None, gt=0, le=1_000_000)
    """Mean hours until a node that has joined is lost, and its pods with it."""
    node_noticed_s: float = Field(default=340.0, ge=0, le=86_400)
    """Seconds until a lost node's pods are made anew. Kubernetes: 40 s of silence, 300 s of toleration."""
    at: tuple[FailureSpec, ...] = ()
    """Failures at stated instants."""


class WorldSpec(SpecModel):
    """The `spec` of a VirtualCluster."""

    node_pools: tuple[NodePoolSpec, ...] = ()
    """Node pools. Pools of a deployment whose VM size none of them has get nodes that come and go with their pods."""
    pod_start: PodStartSpec = PodStartSpec()
    """How long pods take on those nodes. On others the deployment's `startup` counts."""
    running: bool = False
    """Whether the deployment runs already: first replicas and placeholders are there at the start, on warm nodes."""
    failures: FailuresSpec = FailuresSpec()
    """What fails. By default, nothing."""
    metrics: MetricsSpec = MetricsSpec()
    """What is seen, and when."""
    prices: tuple[VmPriceSpec, ...] = ()
    """VM sizes at your own price, and those that Penstock does not know."""

    @property
    def sizes(self) -> Mapping[str, VmSize]:
        """Every VM size that this world knows."""
        return priced(self.prices)

    @model_validator(mode="after")
    def _sizes_are_known_and_unique(self) -> Self:
        sizes = self.sizes
        names = []
        for number, pool in enumerate(self.node_pools):
            try:
                size = vm_size(pool.vm_size, sizes=sizes)
            except InputError as error:
                raise ValueError(f"nodePools[{number}].vmSize: {error.what}; {error.fix}") from error
            if size.name in names:
                raise ValueError(f"nodePools: two have vmSize {size.name}; keep one")
            names.append(size.name)
            if pool.min_nodes > pool.max_nodes:
                raise ValueError(
                    f"nodePools[{number}].minNodes: {pool.min_nodes} is above maxNodes {pool.max_nodes}; lower it"
                )
            if (pool.placeholders.gpus or 1) > size.gpus:
                raise ValueError(
                    f"nodePools[{number}].placeholders.gpus: {pool.placeholders.gpus} do not fit; "
                    f"{size.name} has {size.gpus}"
                )
        return self


class VirtualCluster(SpecModel):
    """A world, as a file."""

    api_version: Literal["penstock.dev/v1alpha1"]
    """Version of this format."""
    kind: Literal["VirtualCluster"]
    """Kind of object."""
    spec: WorldSpec
    """What surrounds the deployment."""
