"""What the operator says of its objects: their `status`, as types, so that the CRDs are made from them too."""

from typing import Literal

from pydantic import Field

from penstock.messages.fields import SpecModel


class Condition(SpecModel):
    """One condition, by Kubernetes' convention."""

    type: str = Field(max_length=316)
    """Ready, Progressing, Scaling or Degraded."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str = Field(max_length=1024)
    """One word in CamelCase for machines."""
    message: str = Field(max_length=32_768)
    """One sentence for people."""
    last_transition_time: str
    """Since when, RFC 3339."""
    observed_generation: int | None = None
    """The generation of the spec that it is of."""


class PoolStatus(SpecModel):
    """The status of a ComponentPool."""

    observed_generation: int | None = None
    """The generation that the rest is of."""
    replicas: int = 0
    """Pods that there are, for the scale subresource."""
    ready_replicas: int = 0
    """Of them, those that are ready."""
    selector: str = ""
    """Selects its pods, for the scale subresource."""
    conditions: tuple[Condition, ...] = ()
    """Ready, Progressing, Degraded."""


class PolicyStatus(SpecModel):
    """The status of a ScalingPolicy: the planner's, but for `secondOwner`, which is the operator's."""

    observed_generation: int | None = None
    """The generation that the rest is of."""
    current: int | None = None
    """Replicas by the target's scale."""
    ready: int | None = None
    """Pods that are ready."""
    desired: int | None = None
    """Replicas that the planner wants."""
    second_owner: str | None = None
    """Who else owns the count, in a sentence; the planner then only advises."""
    conditions: tuple[Condition, ...] = ()
    """Ready, Scaling, Degraded."""


class ComponentStatus(SpecModel):
    """One component of a deployment."""

    name: str
    """The component."""
    desired: int = 0
    """Pods wanted."""
    ready: int = 0
    """Pods ready."""


class DeploymentStatus(SpecModel):
    """The status of an InferenceDeployment."""

    observed_generation: int | None = None
    """The generation that the rest is of."""
    ready: str = ""
    """Components that are ready, of all: `2/3`."""
    components: tuple[ComponentStatus, ...] = ()
    """Each component."""
    conditions: tuple[Condition, ...] = ()
    """Ready, Progressing, Degraded."""
