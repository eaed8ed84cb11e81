"""What surrounds a deployment in the virtual cluster: nodes, how long things take, what an autoscaler sees of it all.

A file of kind `VirtualCluster`, given to `penstock simulate --world`; without one, the world is that of `penstock up`:
replicas start in the time that the deployment's `startup` says, on VMs that come and go with them, and metrics are read
once a second as they are.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.messages.fields import SpecModel


class DelaySpec(SpecModel):
    """A duration drawn anew each time: lognormal, by its mean and spread."""

    mean_s: float = Field(ge=0, le=86_400)
    """Mean, in seconds."""
    cv: float = Field(default=0.0, ge=0, le=3)
    """Standard deviation over mean; 0: always the mean."""


class NodePoolSpec(SpecModel):
    """GPU nodes of one VM size under the cluster autoscaler. Defaults are AKS'."""

    vm_size: str
    """Azure VM size; pods that name it run here."""
    min_nodes: int = Field(default=0, ge=0, le=10_000)
    """Nodes that are always there."""
    max_nodes: int = Field(default=1000, ge=0, le=10_000)
    """Nodes at most: the pool's maximum, or the quota if that is less."""
    provision: DelaySpec = DelaySpec(mean_s=200.0, cv=0.15)
    """From asking for a node until it advertises its GPUs: VM, kubelet, driver."""
    reprovision: DelaySpec = DelaySpec(mean_s=90.0, cv=0.15)
    """The same for a node that was deallocated and kept its disk."""
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


class PodStartSpec(SpecModel):
    """From being placed on a node until it serves."""

    cold: DelaySpec = DelaySpec(mean_s=150.0, cv=0.15)
    """Where image and weights must be fetched first."""
    warm: DelaySpec = DelaySpec(mean_s=45.0, cv=0.1)
    """Where both are there."""


class MetricsSpec(SpecModel):
    """The way of a metric to the autoscaler."""

    scrape_s: float | None = Field(default=None, gt=0, le=600)
    """Seconds between two scrapes. Default: read afresh at every look, or every 30 s through Prometheus."""
    through: Literal["direct", "prometheus"] = "direct"
    """`direct`: the processes are asked. `prometheus`: queries over what was scraped, as an HPA or KEDA sees it."""
    rate_window_s: float = Field(default=120.0, gt=0, le=3600)
    """Seconds of the queries' rate windows."""

    @model_validator(mode="after")
    def _window_holds_two_scrapes(self) -> Self:
        if self.through == "prometheus" and self.rate_window_s < 2 * self.every_s:
            raise ValueError(
                f"rateWindowSeconds {self.rate_window_s:g} holds fewer than two scrapes of {self.every_s:g} s; "
                "set it to four scrapes or more"
            )
        return self

    @property
    def every_s(self) -> float:
        """Seconds between two scrapes; 0: at every look."""
        if self.scrape_s is not None:
            return self.scrape_s
        return 30.0 if self.through == "prometheus" else 0.0


class WorldSpec(SpecModel):
    """The `spec` of a VirtualCluster."""

    node_pools: tuple[NodePoolSpec, ...] = ()
    """Node pools. Pools of a deployment whose VM size none of them has get nodes that come and go with their pods."""
    pod_start: PodStartSpec | None = None
    """How long pods take on those nodes. Default: the deployment's `startup`, less what the node took."""
    running: bool = False
    """Whether the deployment runs already: its first replicas serve from the start, on warm nodes."""
    metrics: MetricsSpec = MetricsSpec()
    """What is seen, and when."""

    @model_validator(mode="after")
    def _sizes_are_unique(self) -> Self:
        names = [pool.vm_size for pool in self.node_pools]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"nodePools: two have vmSize {name}; keep one")
        return self


class VirtualCluster(SpecModel):
    """A world, as a file."""

    api_version: Literal["penstock.dev/v1alpha1"]
    """Version of this format."""
    kind: Literal["VirtualCluster"]
    """Kind of object."""
    spec: WorldSpec
    """What surrounds the deployment."""
