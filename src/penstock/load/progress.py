"""What to show while a run is under way: counts, and percentiles of the last few hundred requests."""

from collections import deque

from penstock.messages.outcome import Ending, RequestOutcome

_RECENT = 500  # requests that the shown percentiles are over


class Progress:
    """Counts of one run. `offered` counts as its time comes; the rest as requests end."""

    def __init__(self) -> None:
        self.offered = 0
        self.in_flight = 0
        self.ended = dict.fromkeys(Ending, 0)
        self._ttft_s: deque[float] = deque(maxlen=_RECENT)

    def add(self, outcome: RequestOutcome) -> None:
        """Count one that ended."""
        self.ended[outcome.ending] += 1
        if outcome.ttft_s is not None:
            self._ttft_s.append(outcome.ttft_s)

    def ttft_s(self, share: float) -> float | None:
        """A percentile of TTFT over the requests that ended last."""
        if not self._ttft_s:
            return None
        ordered = sorted(self._ttft_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def line(self, now_s: float, late_p99_s: float) -> str:
        """The state in one line of fewer than 80 columns."""
        p50, p95 = self.ttft_s(0.5), self.ttft_s(0.95)
        ttft = "" if p50 is None or p95 is None else f"  ttft p50 {p50:.2f} p95 {p95:.2f} s"
        bad = "".join(f"  {kind} {self.ended[kind]}" for kind in (Ending.REJECTED, Ending.FAILED) if self.ended[kind])
        late = f"  client late {late_p99_s * 1000:.0f} ms" if late_p99_s > 0.005 else ""
        return f"{now_s:5.0f} s  {self.offered} sent  {self.in_flight} in flight{bad}{ttft}{late}"
