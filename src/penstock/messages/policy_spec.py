"""The ScalingPolicy: the planner on something with a scale that others made, from its engines' own metrics."""

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.messages.engine_spec import EngineSpec, GpuSpec
from penstock.messages.fields import SpecModel
from penstock.messages.scaling_spec import PlannerScaling
from penstock.messages.spec import ComponentSpec, DeploymentBody, Metadata, ModelSpec, RoutingSpec, SloSpec
from penstock.messages.worker import Role


class ScaleTargetRef(SpecModel):
    """What is scaled: an object of the policy's namespace that has the scale subresource."""

    api_version: str = Field(min_length=1, max_length=256)
    """Its group and version, such as `apps/v1`."""
    kind: str = Field(min_length=1, max_length=63)
    """Its kind, such as `Deployment`."""
    name: str = Field(min_length=1, max_length=253)
    """Its name."""


class PodMetricsSpec(SpecModel):
    """Pods, and where they tell their metrics."""

    selector: dict[str, str] = Field(default_factory=dict, max_length=64)
    """Labels of the pods. Default: those that the target's scale selects."""
    port: int = Field(default=8000, ge=1, le=65_535)
    """Port of `/metrics`."""


class PolicyMetricsSpec(PodMetricsSpec):
    """Where the planner's figures come from."""

    source: Literal["vllm", "sglang", "dynamo"]
    """Whose names they have. `dynamo`: demand and latencies from its frontends, the rest from its workers."""
    frontend: PodMetricsSpec | None = None
    """Dynamo's frontends, for `dynamo`; their selector is needed."""

    @model_validator(mode="after")
    def _frontend_for_dynamo(self) -> Self:
        if self.source == "dynamo" and not (self.frontend and self.frontend.selector):
            raise ValueError("frontend.selector: missing for source dynamo; give the labels of its frontends")
        if self.source != "dynamo" and self.frontend is not None:
            raise ValueError(f"frontend: does nothing for source {self.source}; leave it out")
        return self


class PolicyBody(SpecModel):
    """The `spec` of a ScalingPolicy."""

    scale_target_ref: ScaleTargetRef
    """What is scaled."""
    mode: Literal["advise", "owner"] = "advise"
    """`advise`: decisions, Events and status; no scale is written. `owner`: the planner writes it, and nobody else."""
    role: Literal["worker", "prefill", "decode"] = "worker"
    """What its pods do. `worker`: prefill and decode in one."""
    metrics: PolicyMetricsSpec
    """Where the figures come from."""
    slo: SloSpec
    """Latency targets."""
    autoscaling: PlannerScaling
    """Bounds and pace of the planner."""
    model: ModelSpec | None = None
    """What is served, for `engine.profile`."""
    engine: EngineSpec = EngineSpec()
    """Limits and speed of the engines, as they were started: the planner rehearses them."""
    gpu: GpuSpec | None = None
    """GPUs of a pod, for `engine.profile`."""

    @model_validator(mode="after")
    def _profile_has_its_model(self) -> Self:
        if self.engine.profile is not None and (self.model is None or self.gpu is None):
            raise ValueError("engine.profile: needs model and gpu; give both")
        return self

    @model_validator(mode="after")
    def _somebody_counts(self) -> Self:
        if self.autoscaling.min == 0 and self.metrics.source != "dynamo":
            raise ValueError(
                "autoscaling.min: 0, but while no engine runs nobody counts requests; set min >= 1, or source dynamo"
            )
        return self

    def pool(self, name: str) -> ComponentSpec:
        """The target as a pool, as the planner knows them."""
        return ComponentSpec(
            name=name, role=Role(self.role), engine=self.engine, gpu=self.gpu, autoscaling=self.autoscaling
        )

    def deployment(self, pool: ComponentSpec) -> DeploymentBody:
        """All that policies read of a deployment, around that pool. Not checked: a partner of its role is not ours."""
        return DeploymentBody.model_construct(
            model=self.model or ModelSpec(name="unknown"),
            slo=self.slo,
            routing=RoutingSpec(),
            components=(pool,),
            warm_capacity=None,
        )


class ScalingPolicy(SpecModel):
    """The planner on what others made: `apiVersion`, `kind`, `metadata`, `spec`."""

    api_version: Literal["penstock.dev/v1alpha1"]
    """Version of this format."""
    kind: Literal["ScalingPolicy"]
    """Kind of object."""
    metadata: Metadata
    """Its name and labels."""
    spec: PolicyBody
    """What is scaled, and by what."""
