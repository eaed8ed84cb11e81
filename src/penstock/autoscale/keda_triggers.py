"""A KEDA trigger's value, activity and fallback.

KEDA reads a trigger twice: its own poll asks "active or not" (value above the activation threshold), the HPA's sync
asks for the value itself. By default an empty or infinite answer counts as 0; a NaN gets through either way and
becomes the most negative number there is. Failures are counted per trigger at the HPA's reads, not at the polls; above
the threshold a made-up value stands in, which makes the HPA arrive at the fallback's count.

Source: KEDA 2.18, pkg/scalers/prometheus_scaler.go, pkg/fallback/fallback.go.
"""

import math

from penstock.autoscale.hpa_metrics import MetricError
from penstock.messages.scaling_spec import KedaFallback, KedaTrigger

NAN_MILLI = -(2**63)  # int64(NaN) on x86-64


def trigger_value(trigger: KedaTrigger, value: float | None) -> float:
    """The answer as the trigger takes it. Raises: MetricError, for no answer that it does not ignore."""
    if value is None or math.isinf(value):
        if trigger.ignore_null_values:
            return 0.0
        raise MetricError("the query gave no value")
    return value


def is_active(trigger: KedaTrigger, value: float) -> bool:
    """Whether the trigger wants at least one replica. NaN never does."""
    return value > trigger.activation_threshold


def trigger_milli(value: float) -> int:
    """The value as the HPA gets it: thousandths, the rest cut off."""
    return NAN_MILLI if math.isnan(value) else int(value * 1000)


def fallback_milli(fallback: KedaFallback, trigger: KedaTrigger, *, current: int, ready: int) -> int | None:
    """The value that makes the HPA arrive at the fallback's count; None if that cannot be had (Value, none ready)."""
    replicas = float(_fallback_replicas(fallback, current))
    if trigger.metric_type == "Value":
        if ready == 0:
            return None
        replicas /= ready
    target = int(trigger.threshold * 1000) * 1e-3  # a quantity as Go's float: a product, which rounds unlike a quotient
    return int(target * 1000 * replicas)


def _fallback_replicas(fallback: KedaFallback, current: int) -> int:
    match fallback.behavior:
        case "currentReplicas":
            return current
        case "currentReplicasIfHigher":
            return max(current, fallback.replicas)
        case "currentReplicasIfLower":
            return min(current, fallback.replicas)
        case _:
            return fallback.replicas
