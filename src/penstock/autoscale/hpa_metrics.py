"""How many replicas one metric of a HorizontalPodAutoscaler asks for.

Values are whole thousandths, as Kubernetes' quantities are on this path. Three kinds of target:

- CPU utilisation: mean use over requests, cut to whole percent, over the target; times the pods that count. Pods
  without a usable sample are filled in to damp the move: as idle on the way up, as fully busy on the way down.
- External `Value`: value over target, times the Ready pods. At zero replicas: the ratio alone.
- External `AverageValue`: value over target, whatever the current count; the count matters to the tolerance only.

Source: Kubernetes 1.34, pkg/controller/podautoscaler/replica_calculator.go and metrics/utilization.go.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from penstock.autoscale.hpa_pods import Pod, group_pods, running_and_ready

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
# What x86-64 gives for a float that does not fit an int32; Go leaves it to the machine.
INT32_OVERFLOW = -(2**31)


class MetricError(Exception):
    """The metric cannot be had or used now; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Ratios in [1 - down, 1 + up] change nothing. Default: 0.1 both ways (kube-controller-manager)."""

    down: float = 0.1
    up: float = 0.1

    def holds(self, ratio: float) -> bool:
        """Whether the ratio is too near 1 to act on. NaN is not."""
        return (1.0 - self.down) <= ratio <= (1.0 + self.up)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What one metric asks for, and the ratio behind it; `held` says that tolerance or direction kept the count."""

    replicas: int
    ratio: float
    held: bool = False


def cpu_proposal(
    target_percent: int, pods: Sequence[Pod], *, current: int, tolerance: Tolerance, now_s: float
) -> Proposal:
    """What a CPU utilisation target asks for. Raises: MetricError, without pods or without any usable sample."""
    if not pods:
        raise MetricError("no pods")
    groups = group_pods(pods, now_s=now_s)
    requests = {pod.name: pod.request_milli for pod in pods}
    skipped = groups.ignored | groups.unready
    used = {pod.name: pod.cpu.milli for pod in pods if pod.cpu is not None and pod.name not in skipped}
    if not used:
        raise MetricError("no pod has a usable CPU sample")
    ratio = _utilization_ratio(used, requests, target_percent)
    up_with_unready = bool(groups.unready) and ratio > 1.0
    if not up_with_unready and not groups.missing:
        if tolerance.holds(ratio):
            return Proposal(replicas=current, ratio=ratio, held=True)
        return Proposal(replicas=as_int32(math.ceil(ratio * len(groups.ready))), ratio=ratio)

    if ratio < 1.0:
        busy = max(100, target_percent)
        used |= {name: requests[name] * busy // 100 for name in groups.missing}
    elif ratio > 1.0:
        used |= dict.fromkeys(groups.missing, 0)
    if up_with_unready:
        used |= dict.fromkeys(groups.unready, 0)
    filled = _utilization_ratio(used, requests, target_percent)
    if tolerance.holds(filled) or (ratio < 1.0 < filled) or (filled < 1.0 < ratio):
        return Proposal(replicas=current, ratio=filled, held=True)
    replicas = as_int32(math.ceil(filled * len(used)))
    if (filled < 1.0 and replicas > current) or (filled > 1.0 and replicas < current):
        return Proposal(replicas=current, ratio=filled, held=True)
    return Proposal(replicas=replicas, ratio=filled)


def value_proposal(
    value_milli: int, target_milli: int, pods: Sequence[Pod], *, current: int, tolerance: Tolerance
) -> Proposal:
    """What an External `Value` target asks for. Raises: MetricError, above zero replicas without any pod."""
    ratio = float(value_milli) / float(target_milli)
    if current == 0:
        return Proposal(replicas=as_int32(math.ceil(ratio)), ratio=ratio)
    if tolerance.holds(ratio):
        return Proposal(replicas=current, ratio=ratio, held=True)
    if not pods:
        raise MetricError("no pods")
    return Proposal(replicas=as_int32(math.ceil(ratio * running_and_ready(pods))), ratio=ratio)


def average_proposal(value_milli: int, target_milli: int, *, status_replicas: int, tolerance: Tolerance) -> Proposal:
    """What an External `AverageValue` target asks for: `ceil(value / target)`, unless near enough already."""
    if value_milli < 0:  # the controller takes it for an overflow
        value_milli = INT64_MAX
    if status_replicas:
        ratio = float(value_milli) / (float(target_milli) * float(status_replicas))
    else:  # Go divides by zero as IEEE 754 says
        ratio = math.inf if value_milli else math.nan
    if tolerance.holds(ratio):
        return Proposal(replicas=status_replicas, ratio=ratio, held=True)
    return Proposal(replicas=min(math.ceil(float(value_milli) / float(target_milli)), INT32_MAX), ratio=ratio)


def as_int32(value: int) -> int:
    """Go's `int32(float)` on x86-64: what does not fit becomes the most negative number."""
    return value if -(2**31) <= value <= INT32_MAX else INT32_OVERFLOW


def wrapped_int32(value: int) -> int:
    """Go's sum of two int32: what does not fit comes round again from the other end."""
    return (value + 2**31) % 2**32 - 2**31


def quantity_milli(value: float) -> int:
    """A quantity of a manifest in thousandths, rounded up as Kubernetes does: never 0."""
    return math.ceil(Decimal(repr(value)) * 1000)


def quantity_float(value: float) -> float:
    """A quantity of a manifest as the controller's float: 0.7 is stored as 700m, and 700 * 0.001 is a bit more."""
    number = Decimal(repr(value))
    places = next((n for n in (0, 3, 6) if number.scaleb(n) % 1 == 0), 9)
    return math.ceil(number.scaleb(places)) * float(f"1e-{places}")


def adapter_milli(value: float) -> int:
    """A measured float as metrics adapters hand it over: thousandths, the rest cut off."""
    return int(value * 1000)


def _utilization_ratio(used: Mapping[str, int], requests: Mapping[str, int], target_percent: int) -> float:
    total = sum(requests[name] for name in used)
    if total == 0:
        raise MetricError("the pods request no CPU")
    percent = sum(used.values()) * 100 // total
    return percent / target_percent
