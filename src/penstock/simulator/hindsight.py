"""The best simple policy in hindsight: its window and its headroom, searched on the workload at hand. Pure.

The search plays replicas only: loads in, counts out, a start takes one lead time, a window is met if it had what it
needed throughout. That takes milliseconds, so a whole grid can be tried; whoever asks then simulates the answer.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.autoscale.reactive import ReactivePolicy

WINDOWS_S = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)
HEADROOM_STEP = 1.05
HEADROOMS = tuple(0.5 * HEADROOM_STEP**power for power in range(60))  # 0.5 to 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One window and headroom, played. `cost_s`: replica-seconds, starts included."""

    policy: ReactivePolicy
    attainment: float
    cost_s: float


def best_in_hindsight(
    loads: Sequence[float],
    need: Sequence[int],
    *,
    sample_s: float,
    window_s: float,
    lead_s: float,
    most: int,
    attain: float,
) -> ReactivePolicy:
    """The cheapest window and headroom that attain a share of the windows; else those that attain most.

    Args:
        loads: requests/s of each `sample_s`; shape (n_samples,).
        need: replicas that each `window_s` needed, 0 where nothing came; shape (n_windows,).
    """
    per_replica = _per_replica(loads, need, sample_s, window_s)
    tried = []
    for back_s in WINDOWS_S:
        peaks = _peaks(loads, max(1, round(back_s / sample_s)))
        for headroom in HEADROOMS:
            policy = ReactivePolicy(
                window_s=back_s, headroom=headroom, per_replica=per_replica, most=most, interval_s=sample_s
            )
            found = _play(policy, peaks, need, sample_s, window_s, lead_s)
            tried.append(found)
            if found.attainment >= attain:
                break  # more headroom only costs more
    enough = [each for each in tried if each.attainment >= attain]
    if enough:
        return min(enough, key=lambda each: each.cost_s).policy
    return max(tried, key=lambda each: (each.attainment, -each.cost_s)).policy


def _per_replica(loads: Sequence[float], need: Sequence[int], sample_s: float, window_s: float) -> float:
    """Requests/s per replica that was needed: a scale for the headroom, nothing more."""
    return max(sum(loads) * sample_s / max(1.0, sum(need) * window_s), 1e-9)


def _peaks(loads: Sequence[float], width: int) -> list[float]:
    """The largest of each sample and the `width - 1` before it."""
    order: deque[int] = deque()
    peaks = []
    for place, load in enumerate(loads):
        while order and loads[order[-1]] <= load:
            order.pop()
        order.append(place)
        if order[0] <= place - width:
            order.popleft()
        peaks.append(loads[order[0]])
    return peaks


def _play(
    policy: ReactivePolicy,
    peaks: Sequence[float],
    need: Sequence[int],
    sample_s: float,
    window_s: float,
    lead_s: float,
) -> Tried:
    desired = [policy.replicas_for(peak) for peak in peaks]
    starts = max(0, round(lead_s / sample_s)) + 1  # what is seen counts from the next sample on
    ready = [-least for least in _peaks([-count for count in desired], starts + 1)]  # the least asked for since then
    per_window = max(1, round(window_s / sample_s))
    asked = met = 0
    for place, needed in enumerate(need):
        if not needed:
            continue
        asked += 1
        during = ready[place * per_window : (place + 1) * per_window]
        met += min(during, default=0) >= needed
    return Tried(policy=policy, attainment=met / asked if asked else 1.0, cost_s=sum(desired) * sample_s)
