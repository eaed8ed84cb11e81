"""What one pool answers for, by role, of a deployment's targets; and whether it keeps to it, as far as is measured.

A prefill pool answers for first tokens, with what KV transfer and entry into decode leave of the TTFT. A decode pool
answers for the ITL, and for letting a request in within the time that prefill was not given. An aggregated pool answers
for both.
"""

from dataclasses import dataclass

from penstock.autoscale.demand import Reading
from penstock.autoscale.rehearsal import Targets
from penstock.messages.spec import SloSpec
from penstock.messages.worker import Role

# A request that comes to a decode engine waits for the step under way and then takes one itself.
ENTRY_STEPS = 2
LEAST_TTFT_SHARE = 0.1  # of the target, whatever transfer and entry take: prefill is never asked for less than nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A target, and what was measured above it."""

    name: str
    measured_s: float
    target_s: float


def targets_of(role: Role, slo: SloSpec, transfer_s: float) -> Targets:
    """What one replica is rehearsed for."""
    if role is Role.PREFILL:
        left_s = slo.ttft_s - transfer_s - ENTRY_STEPS * slo.itl_s
        ttft_s = max(left_s, LEAST_TTFT_SHARE * slo.ttft_s)
        return Targets(ttft_s=ttft_s, itl_s=None, percentile=slo.percentile)
    if role is Role.DECODE:
        return Targets(ttft_s=ENTRY_STEPS * slo.itl_s, itl_s=slo.itl_s, percentile=slo.percentile)
    return Targets(ttft_s=slo.ttft_s, itl_s=slo.itl_s, percentile=slo.percentile)


def missed(role: Role, slo: SloSpec, reading: Reading) -> tuple[Missed, ...]:
    """The targets of this pool that are missed now, as far as is measured."""
    measured = [(name, value, target) for name, value, target in _asked(role, slo, reading) if value is not None]
    return tuple(Missed(name=name, measured_s=v, target_s=target) for name, v, target in measured if v > target)


def all_measured(role: Role, slo: SloSpec, reading: Reading) -> bool:
    """Whether everything that this pool answers for was measured, so that "none missed" means "all held"."""
    return all(value is not None for _, value, _ in _asked(role, slo, reading))


def waiting_too_many(slo: SloSpec, reading: Reading) -> float:
    """Requests that wait beyond what a healthy pool has waiting: by Little's law, demand times the TTFT target."""
    return max(0.0, reading.backlog - (reading.rate or 0.0) * slo.ttft_s)


def _asked(role: Role, slo: SloSpec, reading: Reading) -> list[tuple[str, float | None, float]]:
    asked = []
    if role is not Role.DECODE:
        asked.append(("TTFT", reading.ttft_s, slo.ttft_s))
    if role is not Role.PREFILL:
        asked.append(("ITL", reading.itl_s, slo.itl_s))
    return asked
