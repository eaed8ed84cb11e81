"""Counters seen now and then; increases over a window out. Pure: the caller says when each was read.

A counter that fell was reset by a restart and counts from 0 again, as PromQL's `increase` has it; unlike it, nothing is
extrapolated to the window's ends: the increase is what was counted, and the span is from when to when. A counter's
first sight is only a baseline, unless the caller knows that the process was just born, and counted from nothing.
"""

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Increase(Generic[K]):
    """What counters grew by.

    Args:
        by: growth by key; keys that did not grow are 0.
        span_s: the time that it was counted over.
        age_s: since the latest reading.
    """

    by: Mapping[K, float]
    span_s: float
    age_s: float


@dataclass(frozen=True, slots=True)
class _Reading(Generic[K]):
    at_s: float
    grown: Mapping[K, float]


class Window(Generic[K]):
    """Readings of a few counters over the last `keep_s` seconds, and their growth since the first."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._readings: deque[_Reading[K]] = deque()
        self._counted: dict[K, float] = {}
        self._latest_s: float | None = None
        self._total: dict[K, float] = {}

    @property
    def since_start(self) -> Mapping[K, float] | None:
        """All growth since the first reading, over restarts. None: never read."""
        return self._total if self._latest_s is not None else None

    def born(self, at_s: float) -> None:
        """A new process counts from nothing from here on."""
        self._counted = {}
        self._readings.append(_Reading(at_s, {}))
        self._latest_s = at_s

    def read(self, at_s: float, counters: Mapping[K, float]) -> None:
        """Take in one reading. An empty one says nothing, and the window ages."""
        if not counters or (self._latest_s is not None and at_s <= self._latest_s):
            return
        first = self._latest_s is None
        grown: dict[K, float] = {}
        for key, value in counters.items():
            before = value if first else self._counted.get(key, 0.0)
            grown[key] = value - before if value >= before else value
            self._total[key] = self._total.get(key, 0.0) + grown[key]
        self._counted.update(counters)
        self._latest_s = at_s
        self._readings.append(_Reading(at_s, grown))
        # One reading older than the window stays: the window's span begins there.
        while len(self._readings) > 2 and self._readings[1].at_s <= at_s - self._keep_s:
            self._readings.popleft()

    def increase(self, now_s: float, window_s: float) -> Increase[K] | None:
        """Growth within the window. None: fewer than two readings in it."""
        inside = [reading for reading in self._readings if reading.at_s >= now_s - window_s]
        if len(inside) < 2 or self._latest_s is None:
            return None
        sums: dict[K, float] = {}
        for reading in inside[1:]:
            for key, value in reading.grown.items():
                sums[key] = sums.get(key, 0.0) + value
        return Increase(sums, inside[-1].at_s - inside[0].at_s, max(0.0, now_s - self._latest_s))
