"""The best simple policy in hindsight: its window and its headroom, searched on the workload at hand. Pure.

The search plays replicas only: loads in, counts out, a start takes one lead time, a window is met if it had what it
needed throughout. That takes milliseconds, so a whole grid can be tried; whoever asks then simulates the answer.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from penstock.autoscale.reactive import ReactivePolicy

WINDOWS_S = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)
HEADROOM_STEP = 1.05
HEADROOMS = tuple(0.5 * HEADROOM_STEP**power for power in range(60))  # 0.5 to 9


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolNeed:
    """What a pool needed.

    Args:
        need: replicas per window, 0 where nothing came; shape (n_windows,).
        lead_s: from asking for a replica until it serves. weight: what a replica costs, in whatever unit.
    """

    need: Sequence[int]
    lead_s: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One window and headroom, played. `cost`: replica-seconds times weights, starts included."""

    policies: Mapping[str, ReactivePolicy]
    attainment: float
    cost: float


def best_in_hindsight(
    loads: Sequence[float],
    pools: Mapping[str, PoolNeed],
    *,
    sample_s: float,
    window_s: float,
    most: int,
    attain: float,
) -> dict[str, ReactivePolicy]:
    """The cheapest window and headroom that attain a share of the windows; else those that attain most.

    All pools have the same two numbers, each on its own scale; a window is met if every pool had what it needed.

    Args:
        loads: requests/s of each `sample_s`; shape (n_samples,).
    """
    per_replica = {name: _per_replica(loads, pool.need, sample_s, window_s) for name, pool in pools.items()}
    tried = []
    for back_s in WINDOWS_S:
        peaks = _peaks(loads, max(1, round(back_s / sample_s)))

        def play(headroom: float, back_s: float = back_s, peaks: Sequence[float] = peaks) -> Tried:
            policies = {
                name: ReactivePolicy(
                    window_s=back_s, headroom=headroom, per_replica=carried, most=most, interval_s=sample_s
                )
                for name, carried in per_replica.items()
            }
            return _play(policies, peaks, pools, sample_s, window_s)

        # More headroom never meets fewer windows, and costs more.
        enough = bisect_left(HEADROOMS, True, key=lambda headroom: play(headroom).attainment >= attain)
        tried.append(play(HEADROOMS[min(enough, len(HEADROOMS) - 1)]))
    enough_of = [each for each in tried if each.attainment >= attain]
    if enough_of:
        return dict(min(enough_of, key=lambda each: each.cost).policies)
    return dict(max(tried, key=lambda each: (each.attainment, -each.cost)).policies)


def least_power(enough: Callable[[int], bool], most: int) -> int:
    """The least of 0 to `most` that is enough, or `most`; more is taken never to be less. Asks seldom: each is a run.

    It mostly is 0, else close to it: so 0, 1, 3, 7 and so on are asked, then it is halved in.
    """
    low, high = -1, 0
    while high < most and not enough(high):
        low, high = high, min(most, 2 * high + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


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
    policies: Mapping[str, ReactivePolicy],
    peaks: Sequence[float],
    pools: Mapping[str, PoolNeed],
    sample_s: float,
    window_s: float,
) -> Tried:
    per_window = max(1, round(window_s / sample_s))
    asked: set[int] = set()
    missed: set[int] = set()
    cost = 0.0
    for name, pool in pools.items():
        desired = [policies[name].replicas_for(peak) for peak in peaks]
        cost += sum(desired) * sample_s * pool.weight
        starts = max(0, round(pool.lead_s / sample_s)) + 1  # what is seen counts from the next sample on
        ready = [-least for least in _peaks([-count for count in desired], starts + 1)]  # least asked for since then
        for place, needed in enumerate(pool.need):
            if needed:
                asked.add(place)
                if min(ready[place * per_window : (place + 1) * per_window], default=0) < needed:
                    missed.add(place)
    return Tried(policies=policies, attainment=1 - len(missed) / len(asked) if asked else 1.0, cost=cost)
