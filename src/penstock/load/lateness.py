"""How late the client itself was: from the instant that a request should go out until it went.

Latency counts from the intended instant, so a late client makes the server look slow. The reader has to know which of
the two it was.
"""

from dataclasses import dataclass

from penstock.telemetry.log_histogram import LogHistogram

WARN_P99_S = (
    0.020  # beyond it latencies of tens of milliseconds say more about the client; a healthy one is at 1 to 3 ms
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientReport:
    """The part `client` of the document of `load`: its own lateness in seconds; zeros if nothing was sent.

    Args:
        began_unix_s: wall time from which its seconds count, to lay its record beside others.
    """

    began_unix_s: float
    late_p50_s: float
    late_p99_s: float
    late_max_s: float
    was_bottleneck: bool


class Lateness:
    """Lateness over a run."""

    def __init__(self) -> None:
        self._late_s = LogHistogram()

    @property
    def p99_s(self) -> float:
        """So far; 0 if nothing was sent."""
        return self._late_s.percentile(99) or 0.0

    def add(self, late_s: float) -> None:
        """Count one send."""
        self._late_s.add(max(late_s, 0.0))

    def report(self, began_unix_s: float) -> ClientReport:
        """What it came to so far."""
        p50, p99 = self._late_s.percentiles((50, 99))
        return ClientReport(
            began_unix_s=began_unix_s,
            late_p50_s=p50 or 0.0,
            late_p99_s=p99 or 0.0,
            late_max_s=self._late_s.max or 0.0,
            was_bottleneck=(p99 or 0.0) > WARN_P99_S,
        )
