"""Seeded series as scraping makes them: jitter, lost scrapes, restarts, ends with or without a marker, some garbage."""

import math
from collections.abc import Sequence
from random import Random

from promql_store import Given

BEGIN_MS = 1_700_000_000_000
INTERVALS_MS = (1_000, 5_000, 10_000, 15_000, 30_000, 60_000)


def instants(rng: Random, interval_ms: int, count: int) -> list[int]:
    """When a target is scraped: at an interval, with an offset of its own and jitter; some scrapes are lost."""
    jitter_ms = rng.choice([0, 0, 2, 50, interval_ms // 3])
    at_ms = BEGIN_MS + rng.randrange(interval_ms)
    lost = rng.choice([0.0, 0.0, 0.05, 0.3])
    every = (at_ms + n * interval_ms + rng.randint(-jitter_ms, jitter_ms) for n in range(count))
    return [time_ms for time_ms in every if rng.random() >= lost]


def counter(rng: Random, name: str, interval_ms: int) -> Given:
    """A counter that is reset now and then."""
    times_ms = instants(rng, interval_ms, rng.choice([1, 2, 3, 10, 40, 80]))
    step = rng.choice([0.0, 1.0, 3.0, 0.1, 1e-9, 1e12])
    restarts, odd = rng.choice([0.0, 0.0, 0.03, 0.2]), rng.choice([0.0, 0.0, 0.0, 0.05])
    ends, idle = rng.choice([0.0, 0.02, 0.1]), rng.choice([0.0, 0.5])
    value = rng.choice([0.0, 0.0, step, 1000.0 * step, -5.0])
    values: list[float | None] = []
    for _ in times_ms:
        value += 0.0 if rng.random() < idle else step * rng.randint(0, 20)
        if rng.random() < restarts:
            value = rng.choice([0.0, step])
        if rng.random() < ends:
            values.append(None)
        else:
            values.append(rng.choice([math.nan, math.inf, -math.inf]) if rng.random() < odd else value)
    return Given(labels={"__name__": "c", "n": name}, times_ms=times_ms, values=values)


def rows(rng: Random, edges: int, count: int) -> list[list[float] | None]:
    """Cumulative counts of all buckets at each of `count` scrapes of one process; None where it had gone."""
    counts = [0] * (edges + 1)
    restarts, gone = rng.choice([0.0, 0.05]), rng.choice([0.0, 0.05])
    busy = rng.choice([0, 1, 30])
    centre = rng.randrange(edges + 1)
    found: list[list[float] | None] = []
    for _ in range(count):
        if rng.random() < restarts:
            counts = [0] * (edges + 1)
        for _ in range(rng.randint(0, busy)):
            counts[min(edges, max(0, round(rng.gauss(centre, 3))))] += rng.choice([1, 1, 7])
        total = 0
        row = []
        for one in counts:
            total += one
            row.append(float(total))
        found.append(None if rng.random() < gone else row)
    return found


def moments(rng: Random, times_ms: Sequence[Sequence[int]], window_ms: int, count: int) -> list[int]:
    """Instants to ask at: anywhere, and often just where a sample enters or leaves a window or the lookback."""
    samples = [time_ms for one in times_ms for time_ms in one] or [BEGIN_MS]
    first, last = min(samples), max(samples)
    edge = [0, window_ms, 300_000]
    return [
        rng.choice(samples) + rng.choice(edge) + rng.choice([-1, 0, 0, 1])
        if rng.random() < 0.5
        else rng.randint(first - 1000, last + max(window_ms, 300_000) + 1000)
        for _ in range(count)
    ]


def buckets(rng: Random) -> dict[float, float]:
    """One histogram's buckets at an instant, as odd as they come: upper bound to cumulative count."""
    edges = rng.choice([(-2.0, -1.0, 0.0, 1.0), (0.1, 0.2, 0.4, 0.8), (0.0, 0.5), (0.5,), (), (-1.0, -0.5)])
    counts, total = {}, 0.0
    for edge in (*edges, math.inf):
        total += rng.choice([0.0, 0.0, 1.0, rng.random() * 10, 1e9])
        counts[edge] = total
        noise = rng.random()
        if noise < 0.1:
            counts[edge] *= 1 + rng.choice([1, -1]) * rng.choice([1e-13, 7e-13, 1.5e-12, 3e-12, 1e-11])
        elif noise < 0.15:
            counts[edge] *= rng.random()
    if rng.random() < 0.05:
        del counts[math.inf]
    if rng.random() < 0.05:
        counts[edges[0] if edges else math.inf] = -1.0
    return counts
