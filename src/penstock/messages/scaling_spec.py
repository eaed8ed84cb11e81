"""Who owns the number of replicas of a component, and by what rule: exactly one owner, by type.

`none` and `external` never scale; `planner` is Penstock's own; `hpa` and `keda` are what Kubernetes and KEDA do, to
the letter, so that a policy that runs there can be tried here.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from penstock.messages.fields import SpecModel
from penstock.messages.observation import Signal

Replicas = Annotated[int, Field(ge=0, le=10_000)]


class _Scaled(SpecModel):
    min: Replicas = 1
    max: Replicas

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < 1:
            raise ValueError("max is 0, so nothing could ever serve; set max >= 1")
        if self.min > self.max:
            raise ValueError(f"min {self.min} > max {self.max}; set min <= max")
        return self


class PlannerScaling(_Scaled):
    """Penstock's planner: forecast over the lead time, rehearse one replica, provision for a stated quantile."""

    by: Literal["planner"]
    interval_s: float = Field(default=5.0, gt=0, le=3600)
    # Probability that provisioned capacity covers the demand over the lead time.
    quantile: float = Field(default=0.95, gt=0.5, lt=1.0)
    cool_in_s: float = Field(default=60.0, ge=0, le=86_400)
    cool_out_s: float = Field(default=0.0, ge=0, le=86_400)
    max_step_in: int = Field(default=1, ge=1, le=10_000)
    stale_after_s: float = Field(default=30.0, gt=0, le=3600)


class ScalingPolicyRule(SpecModel):
    """One rate limit of an HPA's behaviour: at most `value` pods or percent in a period."""

    type: Literal["Pods", "Percent"]
    value: int = Field(ge=1)
    period_s: int = Field(ge=1, le=1800)


class ScalingRules(SpecModel):
    """An HPA's behaviour in one direction. Unset fields take Kubernetes' defaults for that direction."""

    stabilization_window_s: int | None = Field(default=None, ge=0, le=3600)
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: tuple[ScalingPolicyRule, ...] | None = None
    tolerance: float | None = Field(default=None, ge=0, le=1)


class Behavior(SpecModel):
    """An HPA's behaviour; a missing direction takes Kubernetes' defaults."""

    scale_up: ScalingRules | None = None
    scale_down: ScalingRules | None = None


class MetricTarget(SpecModel):
    """One external metric of an HPA: a signal of the pool and its target."""

    metric: Signal
    target: float = Field(gt=0)
    type: Literal["Value", "AverageValue"] = "AverageValue"


class HpaScaling(_Scaled):
    """A Kubernetes HorizontalPodAutoscaler v2."""

    by: Literal["hpa"]
    cpu_percent: int | None = Field(default=None, ge=1, le=1000)
    requests_per_second: float | None = Field(default=None, gt=0)
    metrics: tuple[MetricTarget, ...] = ()
    behavior: Behavior | None = None
    sync_period_s: float = Field(default=15.0, gt=0, le=3600)
    tolerance: float = Field(default=0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _has_metric(self) -> Self:
        if self.cpu_percent is None and self.requests_per_second is None and not self.metrics:
            raise ValueError("an HPA without a metric never scales; set cpuPercent, requestsPerSecond or metrics")
        return self


class KedaTrigger(SpecModel):
    """One trigger of a ScaledObject. `query` is the PromQL that a cluster would use for the same signal."""

    metric: Signal
    threshold: float = Field(gt=0)
    activation_threshold: float = Field(default=0.0, ge=0)
    metric_type: Literal["Value", "AverageValue"] = "AverageValue"  # KEDA's own default
    ignore_null_values: bool = True  # KEDA's own default: no data counts as 0
    query: str | None = None


class KedaFallback(SpecModel):
    """Replicas to hold once a trigger failed `failure_threshold` times in a row."""

    failure_threshold: int = Field(ge=0)
    replicas: Replicas
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"


class KedaScaling(_Scaled):
    """A KEDA ScaledObject and the HPA that it makes. Defaults are KEDA's."""

    by: Literal["keda"]
    triggers: tuple[KedaTrigger, ...] = Field(min_length=1)
    polling_interval_s: float = Field(default=30.0, gt=0, le=3600)
    cooldown_period_s: float = Field(default=300.0, ge=0, le=86_400)
    idle_replicas: Replicas | None = None
    fallback: KedaFallback | None = None
    behavior: Behavior | None = None
    sync_period_s: float = Field(default=15.0, gt=0, le=3600)
    tolerance: float = Field(default=0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _idle_below_min(self) -> Self:
        if self.idle_replicas is not None and self.idle_replicas >= self.min:
            raise ValueError(f"idleReplicas {self.idle_replicas} >= min {self.min}; set idleReplicas < min")
        return self


class NoScaling(SpecModel):
    """Replicas stay as `replicas` says (`none`), or as somebody else's controller says (`external`)."""

    by: Literal["none", "external"] = "none"


Scaling = Annotated[PlannerScaling | HpaScaling | KedaScaling | NoScaling, Field(discriminator="by")]
