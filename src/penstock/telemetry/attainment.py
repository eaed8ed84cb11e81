"""How well the last hour kept its targets, from the gateway's running counts: exact, window by window.

The gateway's histograms have an edge at each target, so "observed" and "within target" are running counts, and the
rule of the summary can be applied while the run goes on: a window is met when its percentile of TTFT and of ITL are
both within target, and a rejected or failed request counts as one whose TTFT missed (`telemetry.summary`). A window
without a request says nothing. The window that is still open does not count yet.

The error budget is what a percentile leaves: at p95, 5 % of an hour's requests (and of its tokens) may miss. Left is
the share of it not yet used by the worse of the two; below nought, more was missed than the target allows.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from penstock.messages.spec import SloSpec
from penstock.telemetry.log_histogram import rank

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SloCounts:
    """Running counts since the gateway began, by the names under which `Observation.totals` carries them."""

    ttft_observed: float
    ttft_within: float
    itl_observed: float
    itl_within: float
    rejected: float
    failed: float

    @classmethod
    def from_totals(cls, totals: Mapping[str, float]) -> Self | None:
        """None, if a count is missing: then nothing can be said."""
        names = [part.name for part in fields(cls)]
        return cls(**{name: totals[name] for name in names}) if all(name in totals for name in names) else None

    def since(self, earlier: "SloCounts") -> "SloCounts":
        """What was counted between the two; all of it, if the gateway began anew in between."""
        if self.ttft_observed < earlier.ttft_observed or self.itl_observed < earlier.itl_observed:
            return self
        return SloCounts(
            **{part.name: max(0.0, getattr(self, part.name) - getattr(earlier, part.name)) for part in fields(self)}
        )

    @property
    def requests(self) -> float:
        """Requests with a first token, and those that never got one."""
        return self.ttft_observed + self.rejected + self.failed

    def met(self, percentile: float) -> bool:
        """Whether both percentiles are within target."""
        return self.ttft_within >= rank(round(self.requests), percentile) and (
            self.itl_observed < 1 or self.itl_within >= rank(round(self.itl_observed), percentile)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attained:
    """The last hour: windows that had a request, those met, and the share of the error budget left (1: all of it)."""

    windows: int
    windows_met: int
    budget_left: float | None

    @property
    def ratio(self) -> float | None:
        """Windows met over windows; None before the first one closed."""
        return self.windows_met / self.windows if self.windows else None


_NOTHING = SloCounts(ttft_observed=0, ttft_within=0, itl_observed=0, itl_within=0, rejected=0, failed=0)


class Attainment:
    """Sorts running counts into windows and keeps an hour of them."""

    def __init__(self, slo: SloSpec) -> None:
        self._slo = slo
        self._index: int | None = None
        self._at_start: SloCounts | None = None
        self._latest: SloCounts | None = None
        self._per_hour = max(1, round(HOUR_S / slo.window_s))
        self._closed: deque[tuple[int, SloCounts]] = deque(maxlen=self._per_hour)

    def seen(self, time_s: float, totals: Mapping[str, float]) -> None:
        """Take the counts of one instant; an instant without counts leaves its window as it was."""
        counts = SloCounts.from_totals(totals)
        if counts is None:
            return
        index = int(time_s // self._slo.window_s)
        if self._index is None or self._at_start is None:
            # The gateway begins with the run, at nought; whoever joins late begins with what it sees.
            self._at_start = _NOTHING if time_s < self._slo.window_s else counts
            self._index = index
        elif index > self._index:
            # The last look before the edge closes the window; what came between it and the edge goes to the next.
            assert self._latest is not None
            self._closed.append((self._index, self._latest.since(self._at_start)))
            while self._closed and self._closed[0][0] < index - self._per_hour:
                self._closed.popleft()
            self._at_start = self._latest
            self._index = index
        self._latest = counts

    def now(self) -> Attained:
        """The last hour's closed windows; the budget also counts the open one."""
        had = [window for _, window in self._closed if window.requests >= 1]
        return Attained(
            windows=len(had),
            windows_met=sum(window.met(self._slo.percentile) for window in had),
            budget_left=self._budget_left(),
        )

    def _budget_left(self) -> float | None:
        windows = [window for _, window in self._closed]
        if self._latest is not None and self._at_start is not None:
            windows.append(self._latest.since(self._at_start))
        allowed = 1 - self._slo.percentile / 100
        used: list[float] = []
        requests = sum(window.requests for window in windows)
        if requests:
            used.append(1 - sum(window.ttft_within for window in windows) / requests)
        tokens = sum(window.itl_observed for window in windows)
        if tokens:
            used.append(1 - sum(window.itl_within for window in windows) / tokens)
        return 1 - max(used) / allowed if used else None
