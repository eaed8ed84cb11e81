"""The deployment spec: one YAML, the same in every world; in a cluster it is the custom resource itself."""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from penstock.messages.engine_spec import EngineSpec, GpuSpec
from penstock.messages.fields import SpecModel
from penstock.messages.pod_spec import PodSpec
from penstock.messages.scaling_spec import NoScaling, Scaling
from penstock.messages.worker import Role

_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"  # a DNS label: it names Kubernetes objects


class ModelSpec(SpecModel):
    """The model that all components serve."""

    name: str = Field(min_length=1, max_length=256)
    """Name that clients send, and from which the tokenizer is found; or a local path."""
    shape: str | None = Field(default=None, min_length=1)
    """For `profile`: a known model whose shape this one has, or a config.json. Default: the name."""
    tokenizer: str | None = None
    """Directory with tokenizer.json. Default: the model's own, or the small one that ships."""


class SloSpec(SpecModel):
    """Latency targets: in each window, this percentile of TTFT and of ITL is to stay within them."""

    ttft_s: float = Field(gt=0.001, le=600)
    """Target of the time to first token, in seconds."""
    itl_s: float = Field(gt=0.0001, le=60)
    """Target of the inter-token latency, in seconds."""
    percentile: float = Field(default=95, ge=50, le=99.9)
    """Percentile that has to be within the targets."""
    window_s: float = Field(default=60, gt=0, le=3600)
    """Seconds over which it is taken."""


class RoutingSpec(SpecModel):
    """How the frontend places requests, and how many it holds while there is no worker."""

    policy: Literal["kv", "least-loaded", "round-robin"] = "kv"
    """`kv` prices each worker in seconds, with prefix reuse; the others look at load only, or at nothing."""
    max_held_requests: int = Field(default=1000, ge=0, le=1_000_000)
    """Requests held while no worker is ready; more are refused with 503."""
    hold_timeout_s: float = Field(default=300.0, gt=0, le=86_400)
    """Seconds that a request is held at most."""


class ComponentSpec(SpecModel):
    """One pool of equal replicas."""

    name: str = Field(pattern=_NAME)
    """Names the pool, its processes and its metrics."""
    role: Role
    """What its replicas do. `worker`: prefill and decode in one."""
    replicas: int | None = Field(default=None, ge=0, le=10_000)
    """Replicas to begin with. Default: the minimum."""
    engine: EngineSpec = EngineSpec()
    """The engine of each replica."""
    gpu: GpuSpec | None = None
    """The GPUs of each replica; without them it costs nothing."""
    autoscaling: Scaling = NoScaling()
    """The one owner of the number of replicas."""
    pod: PodSpec = PodSpec()
    """Its pods, in a cluster."""

    @property
    def initial_replicas(self) -> int:
        """Replicas to begin with: as stated, else the minimum, else one."""
        if self.replicas is not None:
            return self.replicas
        return 1 if isinstance(self.autoscaling, NoScaling) else self.autoscaling.min

    @property
    def max_replicas(self) -> int:
        """Replicas that this pool can ever have."""
        if isinstance(self.autoscaling, NoScaling):
            return self.initial_replicas
        return self.autoscaling.max

    @model_validator(mode="after")
    def _replicas_in_range(self) -> Self:
        scaling = self.autoscaling
        if self.replicas is None or isinstance(scaling, NoScaling):
            return self
        if not scaling.min <= self.replicas <= scaling.max:
            raise ValueError(
                f"replicas {self.replicas} outside autoscaling {scaling.min} to {scaling.max}; "
                "set it within, or leave it out"
            )
        return self


class WarmCapacitySpec(SpecModel):
    """GPU nodes kept ready beyond what serves, in a cluster, or a virtual one that has node pools of their VM size."""

    nodes: Literal["auto"] | Annotated[int, Field(ge=0, le=1000)] = "auto"
    """How many nodes of each VM size that the deployment runs on; `auto`, which nobody sizes yet and which is refused
    where it would matter, leaves it to the planner."""


class DeploymentBody(SpecModel):
    """The `spec` of an InferenceDeployment."""

    model: ModelSpec
    """What is served."""
    slo: SloSpec
    """Latency targets."""
    routing: RoutingSpec = RoutingSpec()
    """How requests are placed."""
    components: tuple[ComponentSpec, ...] = Field(min_length=1, max_length=64)
    """The pools: one frontend, and either workers or prefill and decode."""
    warm_capacity: WarmCapacitySpec | None = None
    """GPU nodes kept ready, in a cluster."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for name, count in Counter(component.name for component in self.components).items():
            if count > 1:
                raise ValueError(f"components: {count} are named {name!r}; give each its own name")
        return self

    @model_validator(mode="after")
    def _roles_have_partners(self) -> Self:
        roles = Counter(component.role for component in self.components)
        if roles[Role.FRONTEND] > 1:
            raise ValueError("components: more than one has role frontend; keep one")
        if roles[Role.PREFILL] and not roles[Role.DECODE]:
            raise ValueError("components: role prefill without decode; add a decode component, or use role worker")
        if roles[Role.DECODE] and not roles[Role.PREFILL]:
            raise ValueError("components: role decode without prefill; add a prefill component, or use role worker")
        if roles[Role.WORKER] and roles[Role.PREFILL]:
            raise ValueError(
                "components: role worker beside prefill and decode; use either worker, or prefill and decode"
            )
        if not roles[Role.WORKER] and not roles[Role.PREFILL]:
            raise ValueError("components: nothing serves; add a component with role worker, or prefill and decode")
        return self

    @property
    def pools(self) -> tuple[ComponentSpec, ...]:
        """The components that run engines, in the order of the file."""
        return tuple(component for component in self.components if component.role is not Role.FRONTEND)

    def component(self, name: str) -> ComponentSpec:
        """The component of that name. Raises: KeyError."""
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)


class Metadata(SpecModel):
    """Names the deployment, as Kubernetes does. Of Kubernetes' metadata these keys are known, no others."""

    name: str = Field(pattern=_NAME)
    """Name of the deployment."""
    namespace: str | None = None
    """Namespace, in a cluster."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels, in a cluster."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations, in a cluster."""


class InferenceDeployment(SpecModel):
    """A whole deployment: `apiVersion`, `kind`, `metadata`, `spec`."""

    api_version: Literal["penstock.dev/v1alpha1"]
    """Version of this format."""
    kind: Literal["InferenceDeployment"]
    """Kind of object."""
    metadata: Metadata
    """Its name and labels."""
    spec: DeploymentBody
    """What is to run."""
