"""Demand minute by minute, over weeks: what seasons are learnt from. Bounded, and cheap to lengthen.

Minutes are counted from 0 s of the run's clock; those before it, of an earlier run or a trace, have negative numbers.
Hours that are over are never copied again.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

MINUTE_S = 60.0
HOUR = 60  # minutes
DAY = 24 * HOUR
MAX_HOURS = 28 * 24  # four weeks: two of each weekday and as many again
UNKNOWN = -1.0  # of a minute in which nothing was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class LongHistory:
    """Mean demand of each minute, in requests/s; `UNKNOWN` where nothing was seen.

    Args:
        hours: those that are over, each of 60 minutes, without a gap. first: number of the first minute of them.
        now: the minutes of the hour under way. minute: number of the minute under way; total, samples: of its samples.
    """

    hours: tuple[tuple[float, ...], ...] = ()
    first: int = 0
    now: tuple[float, ...] = ()
    minute: int | None = None
    total: float = 0.0
    samples: int = 0

    @classmethod
    def of(cls, minutes: Sequence[float], *, ends_s: float = 0.0) -> "LongHistory":
        """A history whose last minute ends at that instant; requests/s, `UNKNOWN` where nothing is known."""
        end = math.floor(ends_s / MINUTE_S)
        history = cls(first=end - len(minutes), minute=end - len(minutes))
        for rate in minutes:
            history = history._ended(rate)
        return history

    def noted(self, at_s: float, rate: float) -> "LongHistory":
        """With one sample more."""
        minute = math.floor(at_s / MINUTE_S)
        if self.minute is None:
            return replace(self, first=minute, minute=minute, total=rate, samples=1)
        if minute == self.minute:
            return replace(self, total=self.total + rate, samples=self.samples + 1)
        history = self._ended(self.total / self.samples if self.samples else UNKNOWN)
        if minute - self.minute > MAX_HOURS * HOUR:
            return LongHistory(first=minute, minute=minute, total=rate, samples=1)
        while history.minute is not None and history.minute < minute:
            history = history._ended(UNKNOWN)
        return replace(history, total=rate, samples=1)

    @property
    def end(self) -> int:
        """Number of the minute after the last that is over."""
        return self.first + HOUR * len(self.hours) + len(self.now)

    def last(self, minutes: int) -> list[float]:
        """The last so many minutes that are over, or as many as there are."""
        wanted = max(0, minutes - len(self.now))
        found: list[float] = []
        for hour in self.hours[max(0, len(self.hours) - -(-wanted // HOUR)) :] if wanted else ():
            found.extend(hour)
        found.extend(self.now)
        return found[-minutes:] if minutes > 0 else []

    def _ended(self, rate: float) -> "LongHistory":
        now = (*self.now, rate)
        minute = (self.minute or 0) + 1
        if len(now) < HOUR:
            return replace(self, now=now, minute=minute, total=0.0, samples=0)
        dropped = max(0, len(self.hours) + 1 - MAX_HOURS)
        return LongHistory(hours=(*self.hours[dropped:], now), first=self.first + HOUR * dropped, minute=minute)


NOTHING_BEFORE = LongHistory()


def minutes_of(arrivals_s: Iterable[float], *, length_s: float = 0.0) -> list[float]:
    """Requests/s of each minute, of instants in order from 0 s on.

    Args:
        length_s: how long it lasts, if that is longer than to the last of them.
    """
    counts = [0] * math.ceil(length_s / MINUTE_S)
    for at_s in arrivals_s:
        place = int(at_s // MINUTE_S)
        if place >= len(counts):
            counts.extend([0] * (place + 1 - len(counts)))
        counts[place] += 1
    return [count / MINUTE_S for count in counts]
