"""Who owns the number of replicas of a component, and by what rule: exactly one owner, by type.

`none` and `external` never scale; `planner` is Penstock's own; `hpa` and `keda` are what Kubernetes and KEDA do, to
the letter, so that a policy that runs there can be tried here.

`by` says who writes the count, for that is what there may be one of in a cluster. Under KEDA the planner can decide all
the same: `by: keda` with `planner`, which has its rules, in the place of `triggers`. KEDA then asks Penstock instead of
Prometheus (an external scaler), and the count is the planner's, as it would be with `by: planner`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from penstock.messages.fields import SpecModel, field_alias
from penstock.messages.observation import Signal

Replicas = Annotated[int, Field(ge=0, le=10_000)]


class _Scaled(SpecModel):
    min: Replicas = 1
    """Replicas at least."""
    max: Replicas
    """Replicas at most."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < 1:
            raise ValueError("max is 0, so nothing could ever serve; set max >= 1")
        if self.min > self.max:
            raise ValueError(f"min {self.min} > max {self.max}; set min <= max")
        return self


class PlannerRules(SpecModel):
    """By what the planner decides."""

    interval_s: float = Field(default=5.0, gt=0, le=3600)
    """Seconds between decisions."""
    quantile: float = Field(default=0.99, gt=0.5, lt=1.0)
    """Probability with which capacity covers the demand over the lead time. Higher costs more."""
    cool_in_s: float = Field(default=60.0, ge=0, le=86_400)
    """Seconds that fewer replicas must have been enough before one goes."""
    cool_out_s: float = Field(default=0.0, ge=0, le=86_400)
    """Seconds between two scale-ups."""
    max_step_in: int | None = Field(default=None, ge=1, le=10_000)
    """Replicas that may go in one decision. Default: half of them."""
    stale_after_s: float = Field(default=30.0, gt=0, le=3600)
    """Seconds after which a signal is too old to scale down on."""
    seasons: bool = False
    """Learn times of day and week, once a day is known. On trial: it made some workloads cheaper and others dearer."""


class PlannerScaling(_Scaled, PlannerRules):
    """Penstock's planner: forecast over the lead time, rehearse one replica, provision for a stated quantile. Its rules
    stand beside `by`."""

    by: Literal["planner"]
    """The owner: Penstock's planner."""


class ScalingPolicyRule(SpecModel):
    """One rate limit of an HPA's behaviour: at most `value` pods or percent in a period."""

    type: Literal["Pods", "Percent"]
    """What `value` counts."""
    value: int = Field(ge=1)
    """Pods, or percent of them, per period."""
    period_s: int = Field(ge=1, le=1800)
    """Seconds of the period."""


class ScalingRules(SpecModel):
    """An HPA's behaviour in one direction. Unset fields take Kubernetes' defaults for that direction."""

    stabilization_window_s: int | None = Field(default=None, ge=0, le=3600)
    """Seconds over which the most cautious recommendation counts. Default: 0 up, 300 down."""
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Which of several policies counts; `Disabled` never scales that way."""
    policies: tuple[ScalingPolicyRule, ...] | None = None
    """Rate limits. Default: up 4 pods or 100 % in 15 s, down 100 % in 15 s."""
    tolerance: float | None = Field(default=None, ge=0, le=1)
    """Distance of the ratio from 1 that changes nothing. Default: that of the HPA."""


class Behavior(SpecModel):
    """An HPA's behaviour; a missing direction takes Kubernetes' defaults."""

    scale_up: ScalingRules | None = None
    """Rules for more replicas."""
    scale_down: ScalingRules | None = None
    """Rules for fewer."""


class MetricTarget(SpecModel):
    """One external metric of an HPA: a signal of the pool and its target."""

    metric: Signal
    """The signal."""
    target: float = Field(gt=0)
    """Its target, in the signal's unit."""
    type: Literal["Value", "AverageValue"] = "AverageValue"
    """`AverageValue` divides by the replicas: wrong for a latency or a ratio."""


class HpaScaling(_Scaled):
    """A Kubernetes HorizontalPodAutoscaler v2."""

    by: Literal["hpa"]
    """The owner: an HPA."""
    cpu_percent: int | None = Field(default=None, ge=1, le=1000)
    """Mean CPU of the replicas, in percent of what they request."""
    requests_per_second: float | None = Field(default=None, gt=0)
    """Requests per second and replica."""
    metrics: tuple[MetricTarget, ...] = ()
    """Further signals; the one that asks for most replicas wins."""
    behavior: Behavior | None = None
    """Windows and rate limits."""
    sync_period_s: float = Field(default=15.0, gt=0, le=3600)
    """Seconds between decisions (kube-controller-manager)."""
    tolerance: float = Field(default=0.1, ge=0, le=1)
    """Distance of the ratio from 1 that changes nothing (kube-controller-manager)."""

    @model_validator(mode="after")
    def _has_metric(self) -> Self:
        if self.cpu_percent is None and self.requests_per_second is None and not self.metrics:
            raise ValueError("an HPA without a metric never scales; set cpuPercent, requestsPerSecond or metrics")
        return self


class KedaTrigger(SpecModel):
    """One trigger of a ScaledObject. `query` is the PromQL that a cluster would use for the same signal."""

    metric: Signal
    """The signal, as Penstock measures it."""
    threshold: float = Field(gt=0)
    """Its target."""
    activation_threshold: float = Field(default=0.0, ge=0)
    """Above it 0 replicas become 1."""
    metric_type: Literal["Value", "AverageValue"] = "AverageValue"
    """KEDA's default, AverageValue, divides by the replicas: wrong for a latency or a ratio."""
    ignore_null_values: bool = True
    """KEDA's default, true, takes no data for 0."""
    query: str | None = None
    """The PromQL that a cluster would use for the same signal."""


class KedaFallback(SpecModel):
    """Replicas to hold once a trigger failed `failureThreshold` times in a row."""

    failure_threshold: int = Field(ge=0)
    """Failed polls in a row before it applies."""
    replicas: Replicas
    """Replicas then."""
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"
    """How these compare with the current ones."""


class KedaScaling(_Scaled):
    """A KEDA ScaledObject and the HPA that it makes. Defaults are KEDA's."""

    by: Literal["keda"]
    """The owner: KEDA."""
    triggers: tuple[KedaTrigger, ...] = Field(default=(), max_length=64)
    """What is measured; the one that asks for most replicas wins."""
    planner: PlannerRules | None = None
    """Instead of triggers: the planner decides, by these rules (`{}` for its defaults), and KEDA asks it. Beside it
    only `min`, `max` and `fallback` are for KEDA: windows and cool-downs are the planner's."""
    polling_interval_s: float = Field(default=30.0, gt=0, le=3600)
    """Seconds between polls. Matters for 0 to 1 only."""
    cooldown_period_s: float = Field(default=300.0, ge=0, le=86_400)
    """Seconds without activity before the last replica goes. Dead while min >= 1."""
    idle_replicas: Replicas | None = None
    """Replicas while no trigger is active."""
    fallback: KedaFallback | None = None
    """What to do while triggers fail. Default: replicas stay."""
    behavior: Behavior | None = None
    """Windows and rate limits of the HPA beneath."""
    sync_period_s: float = Field(default=15.0, gt=0, le=3600)
    """Seconds between decisions of the HPA beneath."""
    tolerance: float = Field(default=0.1, ge=0, le=1)
    """Tolerance of the HPA beneath."""

    @model_validator(mode="after")
    def _one_decides(self) -> Self:
        if not self.triggers and self.planner is None:
            raise ValueError("nothing says how many; set triggers, or planner: {}")
        if self.planner is not None:
            for name in sorted(self.model_fields_set - {"by", "min", "max", "planner", "fallback"}):
                raise ValueError(f"{field_alias(name)} does nothing beside planner; leave it out, or set triggers only")
        return self

    @model_validator(mode="after")
    def _idle_below_min(self) -> Self:
        if self.idle_replicas is not None and self.idle_replicas >= self.min:
            raise ValueError(f"idleReplicas {self.idle_replicas} >= min {self.min}; set idleReplicas < min")
        return self


class NoScaling(SpecModel):
    """Replicas stay as `replicas` says (`none`), or as somebody else's controller says (`external`)."""

    by: Literal["none", "external"] = "none"
    """`none`: nobody scales it. `external`: somebody else does."""


Scaling = Annotated[PlannerScaling | HpaScaling | KedaScaling | NoScaling, Field(discriminator="by")]


def planner_of(scaling: Scaling) -> PlannerScaling | None:
    """What the planner decides by, where it decides: as the owner, or asked by KEDA. None elsewhere."""
    if isinstance(scaling, PlannerScaling):
        return scaling
    if isinstance(scaling, KedaScaling) and scaling.planner is not None:
        return PlannerScaling(by="planner", min=scaling.min, max=scaling.max, **dict(scaling.planner))
    return None
