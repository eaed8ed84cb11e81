"""CEL rules of the custom resources: what the types refuse, refused by the API server too, in the same words.

A test holds each rule to the type it is of: both take and refuse the same. Bounds and kinds come from the types
themselves (`structural`).
"""

from penstock.operator.structural import Rules

_FRONTENDS, _WORKERS, _PREFILLS, _DECODES = (
    f"self.components.{{}}(c, c.role == '{role}')" for role in ("frontend", "worker", "prefill", "decode")
)
_UNLESS_BARE = "!has(self.engine) || has(self.engine.profile)"

RULES: Rules = {
    "DeploymentBody": (
        (f"{_FRONTENDS.format('filter')}.size() <= 1", "components: more than one has role frontend; keep one"),
        (
            f"!{_PREFILLS.format('exists')} || {_DECODES.format('exists')}",
            "components: role prefill without decode; add a decode component, or use role worker",
        ),
        (
            f"!{_DECODES.format('exists')} || {_PREFILLS.format('exists')}",
            "components: role decode without prefill; add a prefill component, or use role worker",
        ),
        (
            f"!({_WORKERS.format('exists')} && {_PREFILLS.format('exists')})",
            "components: role worker beside prefill and decode; use either worker, or prefill and decode",
        ),
        (
            f"{_WORKERS.format('exists')} || {_PREFILLS.format('exists')} || {_DECODES.format('exists')}",
            "components: nothing serves; add a component with role worker, or prefill and decode",
        ),
    ),
    "ComponentSpec": (
        (
            "!has(self.replicas) || !has(self.autoscaling.max) || (self.replicas <= self.autoscaling.max && "
            "self.replicas >= (has(self.autoscaling.min) ? self.autoscaling.min : 1))",
            "replicas outside autoscaling min to max; set it within, or leave it out",
        ),
        (
            f"{_UNLESS_BARE} || !has(self.engine.precision) || self.engine.precision == 'bf16'",
            "engine: precision does nothing without a profile; add profile: shipped",
        ),
        (
            f"{_UNLESS_BARE} || !has(self.engine.expertParallel) || !self.engine.expertParallel",
            "engine: expertParallel does nothing without a profile; add profile: shipped",
        ),
    ),
    "PolicyMetricsSpec": (
        (
            "self.source != 'dynamo' || (has(self.frontend) && has(self.frontend.selector) && "
            "self.frontend.selector.size() > 0)",
            "frontend.selector: missing for source dynamo; give the labels of its frontends",
        ),
        (
            "self.source == 'dynamo' || !has(self.frontend)",
            "frontend: does nothing for another source than dynamo; leave it out",
        ),
    ),
    "PolicyBody": (
        (
            "!has(self.engine) || !has(self.engine.profile) || (has(self.model) && has(self.gpu))",
            "engine.profile: needs model and gpu; give both",
        ),
        (
            "(has(self.autoscaling.min) ? self.autoscaling.min : 1) >= 1 || self.metrics.source == 'dynamo'",
            "autoscaling.min: 0, but while no engine runs nobody counts requests; set min >= 1, or source dynamo",
        ),
    ),
    "PlannerScaling": (
        ("!has(self.max) || self.max >= 1", "max is 0, so nothing could ever serve; set max >= 1"),
        ("!has(self.max) || (has(self.min) ? self.min : 1) <= self.max", "min > max; set min <= max"),
    ),
    "HpaScaling": (
        (
            "self.by != 'hpa' || has(self.cpuPercent) || has(self.requestsPerSecond) || "
            "(has(self.metrics) && self.metrics.size() > 0)",
            "an HPA without a metric never scales; set cpuPercent, requestsPerSecond or metrics",
        ),
    ),
    "KedaScaling": (
        (
            "self.by != 'keda' || has(self.planner) || (has(self.triggers) && self.triggers.size() > 0)",
            "nothing says how many; set triggers, or planner: {}",
        ),
        (
            "!has(self.planner) || !(has(self.triggers) || has(self.pollingIntervalSeconds) || "
            "has(self.cooldownPeriodSeconds) || has(self.idleReplicas) || has(self.behavior) || "
            "has(self.syncPeriodSeconds) || has(self.tolerance))",
            "beside planner only min, max and fallback do anything; leave the rest out",
        ),
        (
            "!has(self.idleReplicas) || self.idleReplicas < (has(self.min) ? self.min : 1)",
            "idleReplicas >= min; set idleReplicas < min",
        ),
    ),
}
