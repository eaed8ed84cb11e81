"""The least that a pool could have cost, had the future been known: a yardstick for policies, not a policy.

Given how many replicas each window needed to be within target, it finds the counts over time that cost least while at
most a stated share of windows is missed. A replica is paid for while it serves, and before that for one lead time
while it starts; so it knows the future, but pays for starts like everybody else, and may keep an idle replica through
a short gap where that is cheaper.

Theory: dynamic programming over (window, count). A start costs the same whatever else happens, so the cheapest way to
each count is found from running minima, in O(windows x counts). Misses are priced at λ replica-seconds each, and λ is
halved in until the misses fit (Everett, 1963: the counts found for a λ are optimal for their number of misses).

It does not know requests, engines or dollars, and it treats windows as independent: one that is served in full leaves
no queue to the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_HALVINGS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The cheapest counts: one per window.

    Args:
        serving_s, starting_s: replica-seconds. missed: windows with fewer replicas than they needed.
    """

    counts: tuple[int, ...]
    serving_s: float
    starting_s: float
    missed: int

    @property
    def total_s(self) -> float:
        return self.serving_s + self.starting_s


def clairvoyant_bound(
    need: Sequence[int], *, window_s: float, lead_s: float, may_miss: float = 0.01, standing: int = 0
) -> Bound:
    """Find the cheapest counts.

    Args:
        need: replicas that each window needed; shape (n_windows,).
        lead_s: from asking for a replica until it serves.
        standing: replicas that serve before the first window; the others are off.
        may_miss: share of the windows that may have fewer than they needed, 0 to 1.
    """
    if not need:
        return Bound(counts=(), serving_s=0.0, starting_s=0.0, missed=0)
    budget = math.floor(may_miss * len(need) + 1e-9)
    most = max(need) * (window_s + lead_s) + 1.0  # worth more than any window can cost: nothing is missed
    best = _cheapest(need, window_s, lead_s, most, standing)
    low, high = 0.0, most
    for _ in range(_HALVINGS if budget else 0):
        price = (low + high) / 2
        found = _cheapest(need, window_s, lead_s, price, standing)
        if found.missed > budget:
            low = price
        else:
            high = price
            if found.total_s < best.total_s:
                best = found
    return best


def _cheapest(need: Sequence[int], window_s: float, lead_s: float, miss_s: float, standing: int) -> Bound:
    """The counts of least cost, where each missed window costs `miss_s` replica-seconds more."""
    counts = range(max(need) + 1)
    cost = [0.0 if count == min(standing, max(need)) else math.inf for count in counts]
    came_from: list[list[int]] = []
    for needed in need:
        cost, origin = _step(cost, lead_s)
        came_from.append(origin)
        cost = [spent + count * window_s + (miss_s if count < needed else 0.0) for count, spent in enumerate(cost)]
    count = min(counts, key=cost.__getitem__)
    path = []
    for origin in reversed(came_from):
        path.append(count)
        count = origin[count]
    path.reverse()
    started = sum(
        max(0, after - before) for before, after in zip([min(standing, max(need)), *path], path, strict=False)
    )
    return Bound(
        counts=tuple(path),
        serving_s=sum(path) * window_s,
        starting_s=started * lead_s,
        missed=sum(have < needed for have, needed in zip(path, need, strict=True)),
    )


def _step(cost: Sequence[float], lead_s: float) -> tuple[list[float], list[int]]:
    """From each count to each: stopping is free, a start costs one lead time. Returns: costs, and where from."""
    found = list(cost)
    origin = list(range(len(cost)))
    for count in range(len(cost) - 2, -1, -1):  # from a higher one, for nothing
        if found[count + 1] < found[count]:
            found[count], origin[count] = found[count + 1], origin[count + 1]
    for count in range(1, len(cost)):  # from a lower one
        if found[count - 1] + lead_s < found[count]:
            found[count], origin[count] = found[count - 1] + lead_s, origin[count - 1]
    return found, origin
