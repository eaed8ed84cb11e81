"""The ComponentPool: one component of a deployment as an object of its own in a cluster, which anyone can scale."""

from typing import Literal

from pydantic import Field

from penstock.messages.fields import SpecModel
from penstock.messages.spec import ComponentSpec, Metadata, ModelSpec, RoutingSpec, SloSpec


class PoolBody(SpecModel):
    """The `spec` of a ComponentPool: all that its pods need to know, so that it stands alone."""

    replicas: int | None = Field(default=None, ge=0, le=10_000)
    """Pods wanted; whoever owns the scale writes it, through the subresource. Default: what the component says."""
    model: ModelSpec
    """What is served."""
    slo: SloSpec
    """Latency targets."""
    routing: RoutingSpec = RoutingSpec()
    """How a frontend places requests."""
    component: ComponentSpec
    """The component."""

    @property
    def wanted(self) -> int:
        """Pods wanted."""
        return self.component.initial_replicas if self.replicas is None else self.replicas


class ComponentPool(SpecModel):
    """A pool of equal pods: `apiVersion`, `kind`, `metadata`, `spec`."""

    api_version: Literal["penstock.dev/v1alpha1"]
    """Version of this format."""
    kind: Literal["ComponentPool"]
    """Kind of object."""
    metadata: Metadata
    """Its name and labels."""
    spec: PoolBody
    """What is to run."""
