"""The value that makes KEDA's HPA set the count that was decided. Pure.

The metric is the count itself, its target 1 and its type AverageValue: the HPA then wants ceil(value), whatever the
number of pods, while `Value` would multiply by those that are ready at that moment. But it changes nothing within a
tenth of the present count, and that is in the way of small steps of large pools:

- on the way in, any value above `desired - 1` means `desired`, and the lowest is the furthest from the present count. A
  step of one is so taken from 19 replicas and below; above, up to a tenth too many stay.
- on the way out, at most one more than a tenth are asked for, and the next values bring it back to what was decided: a
  replica too many for a moment costs less than targets that are missed for as long as demand stays where it is.

So there are never fewer than decided. Of the HPA's count afterwards the rest is the planner's own.

Source: Kubernetes' replica_calculator.go (GetExternalPerPodMetricReplicas), tolerance 0.1 unless the cluster says
otherwise; `autoscale/hpa.py` is its model, and tests hold this file to it.
"""

TARGET = 1.0
_TOLERANCE_MILLI = 100
_LEAST_MILLI = 1  # KEDA hands thousandths on


def value_milli(desired: int, current: int) -> int:
    """What to report, in thousandths.

    Args:
        desired: as decided. current: as the scale has it.
    """
    if desired < current:
        return 1000 * (desired - 1) + _LEAST_MILLI if desired else 0
    if desired > current:
        return max(1000 * desired, (1000 + _TOLERANCE_MILLI) * current + _LEAST_MILLI)
    return 1000 * desired
