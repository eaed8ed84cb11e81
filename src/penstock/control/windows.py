"""Counters seen now and then; increases over a window out. Pure: the caller says when each was read.

A counter that fell was reset by a restart and counts from 0 again, as PromQL's `increase` has it; unlike it, nothing is
extrapolated to the window's ends: the increase is what was counted, and the span is from when to when. A counter's
first sight is only a baseline, unless the caller knows that the process was just born, and counted from nothing.
"""

import math
from collections import deque
from collections.abc import Hashable, Mapping
from operator import lt, sub
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Increase(Generic[K]):
    """What counters grew by.

    Args:
        by: growth by key; keys that did not grow are 0.
        span_s: the time that it was counted over.
        age_s: since the latest reading.
    """

    def __init__(self, by: Mapping[K, float], span_s: float, age_s: float) -> None:
        self.by = by
        self.span_s = span_s
        self.age_s = age_s


class _Reading(Generic[K]):
    """All growth up to an instant. `keys`: those of the reading, if it had all that were ever seen; else None."""

    def __init__(self, at_s: float, total: Mapping[K, float], keys: tuple[K, ...] | None) -> None:
        self.at_s = at_s
        self.total = total
        self.keys = keys


class Window(Generic[K]):
    """Readings of a few counters over the last `keep_s` seconds, and their growth since the first."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._readings: deque[_Reading[K]] = deque()
        self._counted: Mapping[K, float] = {}
        self._keys: tuple[K, ...] = ()  # of the last reading that had all that were ever seen, and when that was
        self._all_read_s = -math.inf
        self._read_s: dict[K, float] = {}  # when each was last there, in readings that lacked some
        self._latest_s: float | None = None
        self._total: Mapping[K, float] = {}
        self._as_counted = False  # growth is what was counted: from birth on, without a reset

    @property
    def since_start(self) -> Mapping[K, float] | None:
        """All growth since the first reading, over restarts. None: never read."""
        return self._total if self._latest_s is not None else None

    def born(self, at_s: float) -> None:
        """A new process counts from nothing from here on."""
        self._counted = {}
        self._as_counted = not self._total
        self._readings.append(_Reading(at_s, self._total, None))
        self._latest_s = at_s

    def read(self, at_s: float, counters: Mapping[K, float]) -> None:
        """Take in one reading, and keep it. An empty one says nothing, and the window ages."""
        if not counters or (self._latest_s is not None and at_s <= self._latest_s):
            return
        keys = tuple(counters)
        if keys == self._keys:
            keys = self._keys
        if self._as_counted and self._grew(counters, keys):
            self._total = self._counted = counters
        else:
            self._add(counters)
        complete = len(keys) == len(self._total)
        if complete:
            self._keys, self._all_read_s = keys, at_s
        else:
            self._read_s.update(dict.fromkeys(keys, at_s))
        self._latest_s = at_s
        self._readings.append(_Reading(at_s, self._total, keys if complete else None))
        # One reading older than the window stays: the window's span begins there.
        while len(self._readings) > 2 and self._readings[1].at_s <= at_s - self._keep_s:
            self._readings.popleft()

    def increase(self, now_s: float, window_s: float) -> Increase[K] | None:
        """Growth within the window. None: fewer than two readings in it."""
        readings = self._readings
        if len(readings) < 2:
            return None
        begin_s = now_s - window_s
        since = next((reading for reading in readings if reading.at_s >= begin_s), None)
        latest = readings[-1]
        if since is None or since is latest or self._latest_s is None:
            return None
        before, after = since.total, latest.total
        by: Mapping[K, float]
        if latest.keys is not None and (not before or since.keys == latest.keys):
            by = dict(zip(latest.keys, map(sub, after.values(), before.values()), strict=True)) if before else after
        else:  # one that was not read since is unknown, not 0
            read = [key for key in after if max(self._read_s.get(key, -math.inf), self._all_read_s) > since.at_s]
            by = {key: after[key] - before.get(key, 0.0) for key in read}
        return Increase(by, latest.at_s - since.at_s, max(0.0, now_s - self._latest_s))

    def _grew(self, counters: Mapping[K, float], keys: tuple[K, ...]) -> bool:
        """Whether all that were ever seen are there, and none is below its last reading."""
        if keys is self._keys and len(keys) == len(self._counted):
            return not any(map(lt, counters.values(), self._counted.values()))
        if not self._total.keys() <= counters.keys():
            return False
        return all(value >= self._counted.get(key, 0.0) for key, value in counters.items())

    def _add(self, counters: Mapping[K, float]) -> None:
        """Add to the growth what was counted since the last reading."""
        first = self._latest_s is None
        total = dict(self._total)
        for key, value in counters.items():
            before = value if first else self._counted.get(key, 0.0)
            total[key] = total.get(key, 0.0) + (value - before if value >= before else value)
        self._counted = {**self._counted, **counters}
        self._total = total
        self._as_counted = False
