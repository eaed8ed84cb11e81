"""What became of a run: outcomes in, one at a time; `Result` out. Memory does not grow with the number of requests.

Latencies and tokens are over completed requests; ITL is over tokens, so a gap of three tokens counts three times.
Windows go by intended arrival: a request belongs to the window in which its client meant to send it, however late it
was sent or finished. A window is met when both percentiles are within target, where a rejected or failed request
counts as one whose TTFT missed. By nearest rank (see `log_histogram`) that is counting: exact, for any size.

`requests_met` asks more of the single request: completed, its TTFT within target, and the SLO's percentile of its own
gaps too. It knows nothing of GPUs: whoever does, passes cost and replicas in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from penstock.messages.outcome import Ending, RequestOutcome
from penstock.messages.result import GpuHours, Latency, Requests, Result, SloResult, Tokens
from penstock.messages.spec import SloSpec
from penstock.telemetry.log_histogram import LogHistogram, rank

# For the percentiles of single windows, as a chart shows them: a day has 1,440 windows of a minute.
_WINDOW_EXACT_VALUES = 200
_WINDOW_RELATIVE_ERROR = 0.01


@dataclass(slots=True, kw_only=True)
class Completed:
    """Completed requests as columns, each with one entry a request: a simulation has millions.

    Args:
        gaps, gaps_within: gaps between its tokens, and those of them within target.
    """

    intended_s: list[float]
    ttft_s: list[float | None]
    e2e_s: list[float | None]
    gaps: list[int]
    gaps_within: list[int]
    prompt_tokens: list[int]
    cached_tokens: list[int]
    output_tokens: list[int]


@dataclass(slots=True)
class Window:
    """One window's counts, and its latencies over completed requests if they were asked for."""

    start_s: float
    requests: int = 0
    rejected: int = 0
    failed: int = 0
    ttft_within: int = 0
    gaps: int = 0
    gaps_within: int = 0
    ttft: LogHistogram | None = None
    itl: LogHistogram | None = None

    def met(self, slo: SloSpec) -> bool:
        """Whether both percentiles are within target, a rejected or failed request counting as missed."""
        return self.ttft_within >= rank(self.requests, slo.percentile) and (
            not self.gaps or self.gaps_within >= rank(self.gaps, slo.percentile)
        )


class Summary:
    """Adds outcomes up.

    Args:
        slo: None if unknown (`penstock load` against a strange URL): then nothing is said of targets.
        window_latencies: keep each window's latencies too, for a chart; memory then grows with the run's length.
    """

    def __init__(self, slo: SloSpec | None, *, window_latencies: bool = False) -> None:
        self.slo = slo
        self._window_latencies = window_latencies
        self._endings = dict.fromkeys(Ending, 0)
        self._ttft, self._itl, self._e2e = LogHistogram(), LogHistogram(), LogHistogram()
        self._prompt = self._cached = self._output = 0
        self._met = 0
        self._windows: dict[int, Window] = {}

    @property
    def windows(self) -> list[Window]:
        """Windows that had a request, in order of time; empty without an SLO."""
        return [self._windows[index] for index in sorted(self._windows)]

    def add(self, outcome: RequestOutcome) -> None:
        """Count one request. Outcomes may come in any order."""
        if outcome.ending is not Ending.COMPLETED:
            self.lost(outcome.intended_s, outcome.ending)
            return
        limit_s = self.slo.itl_s if self.slo is not None else 0.0
        done = Completed(
            intended_s=[outcome.intended_s],
            ttft_s=[outcome.ttft_s],
            e2e_s=[outcome.e2e_s],
            gaps=[sum(count for _, count in outcome.itl_s)],
            gaps_within=[sum(count for gap_s, count in outcome.itl_s if gap_s <= limit_s)],
            prompt_tokens=[outcome.prompt_tokens],
            cached_tokens=[outcome.prompt_cached_tokens],
            output_tokens=[outcome.output_tokens],
        )
        self.completed(done)
        for gap_s, count in outcome.itl_s:
            self.gap(gap_s, count)
            if self.slo is not None and self._window_latencies:
                window = self._window(outcome.intended_s, self.slo)
                if window.itl is not None:
                    window.itl.add(gap_s, count)

    def completed(self, done: Completed) -> None:
        """Count completed requests, all but the lengths of their gaps."""
        self._endings[Ending.COMPLETED] += len(done.intended_s)
        self._ttft.add_each([ttft_s for ttft_s in done.ttft_s if ttft_s is not None])
        self._e2e.add_each([e2e_s for e2e_s in done.e2e_s if e2e_s is not None])
        self._prompt += sum(done.prompt_tokens)
        self._cached += sum(done.cached_tokens)
        self._output += sum(done.output_tokens)
        if self.slo is not None:
            self._completed_in_windows(done, self.slo)

    def _completed_in_windows(self, done: Completed, slo: SloSpec) -> None:
        window_s, limit_s, percentile = slo.window_s, slo.ttft_s, slo.percentile
        met = 0
        for intended_s, ttft_s, gaps, gaps_within in zip(
            done.intended_s, done.ttft_s, done.gaps, done.gaps_within, strict=True
        ):
            window = self._windows.get(int(intended_s // window_s)) or self._window(intended_s, slo)
            window.requests += 1
            window.gaps += gaps
            window.gaps_within += gaps_within
            if ttft_s is None:
                continue
            if ttft_s <= limit_s:
                window.ttft_within += 1
                met += gaps_within == gaps or gaps_within >= rank(gaps, percentile)
            if window.ttft is not None:
                window.ttft.add(ttft_s)
        self._met += met

    def lost(self, intended_s: float, ending: Ending) -> None:
        """Count one request that was rejected or failed."""
        self._endings[ending] += 1
        if self.slo is not None:
            window = self._window(intended_s, self.slo)
            window.requests += 1
            window.rejected += ending is Ending.REJECTED
            window.failed += ending is Ending.FAILED

    def gap(self, gap_s: float, tokens: int = 1) -> None:
        """Count the gap before each of some tokens of completed requests."""
        self._itl.add(gap_s, tokens)

    def gaps(self, gaps: Sequence[tuple[float, int]]) -> None:
        """Count many, as (seconds, tokens)."""
        self._itl.add_weighted(gaps)

    def _window(self, intended_s: float, slo: SloSpec) -> Window:
        index = int(intended_s // slo.window_s)
        window = self._windows.get(index)
        if window is None:
            window = self._windows[index] = self._new_window(index * slo.window_s)
        return window

    def _new_window(self, start_s: float) -> Window:
        if not self._window_latencies:
            return Window(start_s)
        ttft, itl = (
            LogHistogram(exact_values=_WINDOW_EXACT_VALUES, relative_error=_WINDOW_RELATIVE_ERROR) for _ in range(2)
        )
        return Window(start_s, ttft=ttft, itl=itl)

    def result(
        self,
        *,
        gpu_hours: GpuHours | None = None,
        cost_usd: float | None = None,
        replicas: Mapping[str, tuple[tuple[float, int, int], ...]] | None = None,
        scale_events: int | None = None,
        wall_s: float = 0.0,
    ) -> Result:
        """The document so far, with what only the caller knows."""
        counts = self._endings
        offered = sum(counts.values())
        return Result(
            requests=Requests(
                offered=offered,
                completed=counts[Ending.COMPLETED],
                rejected=counts[Ending.REJECTED],
                failed=counts[Ending.FAILED],
            ),
            ttft_s=_latency(self._ttft),
            itl_s=_latency(self._itl),
            e2e_s=_latency(self._e2e),
            tokens=Tokens(prompt=self._prompt, prompt_cached=self._cached, output=self._output),
            slo=self._slo_result(offered) if self.slo is not None else None,
            gpu_hours=gpu_hours,
            cost_usd=cost_usd,
            replicas=replicas,
            scale_events=scale_events,
            wall_s=wall_s,
            requests_per_wall_s=offered / wall_s if wall_s > 0 else 0.0,
        )

    def _slo_result(self, offered: int) -> SloResult:
        assert self.slo is not None
        slo = self.slo
        met = sum(window.met(slo) for window in self._windows.values())
        windows = len(self._windows)
        return SloResult(
            ttft_s=slo.ttft_s,
            itl_s=slo.itl_s,
            percentile=slo.percentile,
            window_s=slo.window_s,
            windows=windows,
            windows_met=met,
            attainment=met / windows if windows else 0.0,
            requests_met=self._met / offered if offered else 0.0,
        )


def summarize(outcomes: Iterable[RequestOutcome], slo: SloSpec | None, *, wall_s: float = 0.0) -> Result:
    """Read outcomes once, in any order, and say what became of them."""
    summary = Summary(slo)
    for outcome in outcomes:
        summary.add(outcome)
    return summary.result(wall_s=wall_s)


def result_to_json(result: Result) -> dict[str, Any]:
    """The document as `--json` and `summary.json` show it: parts that nobody knew are left out, not null."""
    return {part.name: _plain(value) for part in fields(result) if (value := getattr(result, part.name)) is not None}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _latency(values: LogHistogram) -> Latency:
    p50, p95, p99 = values.percentiles((50, 95, 99))
    return Latency(mean=values.mean, p50=p50, p95=p95, p99=p99)
