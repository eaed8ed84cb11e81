"""What a workload looks like: rates, lengths, burstiness, and the prefix reuse that an unbounded cache would see.

Burstiness is told in three ways: the coefficient of variation of the gaps between arrivals (1 for Poisson), the index
of dispersion of counts in windows of 1, 10 and 60 s (variance over mean; 1 for Poisson, and growing with the window
where demand itself moves: Gusella, "Characterizing the variability of arrival processes with indexes of dispersion",
JSAC 1991), and the peak minute over the mean.

One pass, in memory that grows with the duration (a count a second) and the distinct lengths, not with the requests.
Reuse is counted over the last `MAX_BLOCKS` distinct blocks; a workload with more than that is counted low, and says
so.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.errors import InputError
from penstock.workload.arrival import Arrival

MAX_BLOCKS = 2_000_000  # about 250 MB
MAX_SECONDS = 10_000_000  # of a trace whose seconds are counted: 115 days
_WINDOWS_S = (1, 10, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of prompts, or of outputs."""

    mean: float
    p50: int
    p90: int
    p95: int
    p99: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadStats:
    """The figures.

    Args:
        requests_by_minute: from the start of the trace; the last minute may be cut short.
        dispersion: by window in seconds; None where the trace has fewer than two such windows.
        prefix_reuse: share of prompt tokens that an earlier prompt began with, 0 to 1.
        blocks_exceeded: whether reuse was counted over too few blocks.
    """

    requests: int
    duration_s: float
    mean_per_s: float
    peak_minute_per_s: float
    requests_by_minute: tuple[int, ...]
    gap_cv: float | None
    dispersion: dict[int, float | None]
    input_tokens: Lengths
    output_tokens: Lengths
    total_input_tokens: int
    total_output_tokens: int
    prefix_reuse: float
    distinct_blocks: int
    blocks_exceeded: bool


def workload_stats(arrivals: Iterable[Arrival], *, max_blocks: int = MAX_BLOCKS) -> WorkloadStats:
    """Look through a workload once. Raises: InputError, if it is empty or longer than MAX_SECONDS."""
    inputs: Counter[int] = Counter()
    outputs: Counter[int] = Counter()
    by_second: list[int] = []
    reuse = PrefixReuse(max_blocks)
    gaps = _Moments()
    first_s: float | None = None
    last_s = 0.0
    for arrival in arrivals:
        inputs[arrival.input_tokens] += 1
        outputs[arrival.output_tokens] += 1
        second = int(arrival.arrival_s)
        if second >= len(by_second):
            if second >= MAX_SECONDS:
                raise InputError(
                    "trace", f"a request at {arrival.arrival_s:g} s", f"at most {MAX_SECONDS} s can be counted"
                )
            by_second.extend([0] * (second + 1 - len(by_second)))
        by_second[second] += 1
        if first_s is None:
            first_s = arrival.arrival_s
        else:
            gaps.add(arrival.arrival_s - last_s)
        last_s = arrival.arrival_s
        reuse.add(arrival)
    requests = inputs.total()
    if first_s is None:
        raise InputError("trace", "has no request in that stretch", "change --start-s or --duration-s")
    by_minute = _grouped(by_second, 60)
    duration_s = last_s - first_s
    total_inputs, total_outputs = (
        sum(value * count for value, count in counter.items()) for counter in (inputs, outputs)
    )
    return WorkloadStats(
        requests=requests,
        duration_s=duration_s,
        mean_per_s=requests / duration_s if duration_s else 0.0,
        peak_minute_per_s=_peak(by_minute, len(by_second)),
        requests_by_minute=tuple(by_minute),
        gap_cv=gaps.variation,
        dispersion={window_s: _dispersion(_grouped(by_second, window_s)) for window_s in _WINDOWS_S},
        input_tokens=_lengths(inputs, total_inputs),
        output_tokens=_lengths(outputs, total_outputs),
        total_input_tokens=total_inputs,
        total_output_tokens=total_outputs,
        prefix_reuse=reuse.tokens_reused / total_inputs,
        distinct_blocks=reuse.distinct_blocks,
        blocks_exceeded=reuse.exceeded,
    )


def _peak(by_minute: Sequence[int], seconds: int) -> float:
    """Of the busiest minute; the last may be short, and counts by its length, if that is at least half a minute."""
    last_s = seconds - 60 * (len(by_minute) - 1)
    rates = [count / 60 for count in by_minute[:-1]]
    if last_s >= 30 or not rates:
        rates.append(by_minute[-1] / last_s)
    return max(rates)


class PrefixReuse:
    """Counts prompt tokens that began an earlier prompt too: what one cache without bounds would save."""

    def __init__(self, max_blocks: int = MAX_BLOCKS) -> None:
        self._tokens_seen: OrderedDict[int, int] = OrderedDict()  # block: how far into it any prompt went
        self._max_blocks = max_blocks
        self.tokens_reused = 0
        self.distinct_blocks = 0
        self.exceeded = False

    def add(self, arrival: Arrival) -> int:
        """Count one prompt. Returns: its tokens that were there already."""
        seen = self._tokens_seen
        left = arrival.input_tokens
        reused, unbroken = 0, True
        for block in arrival.prefix_blocks:
            tokens = min(arrival.block_tokens, left)
            left -= tokens
            before = seen.get(block)
            if before is None:
                self.distinct_blocks += 1
                seen[block] = tokens
            else:
                seen.move_to_end(block)
                if before < tokens:
                    seen[block] = tokens
            if unbroken:
                hit = min(before or 0, tokens)
                reused += hit
                unbroken = hit == arrival.block_tokens
        while len(seen) > self._max_blocks:
            seen.popitem(last=False)
            self.exceeded = True
        self.tokens_reused += reused
        return reused


class _Moments:
    """Mean and variance in one pass (Welford)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._squares = 0.0

    def add(self, value: float) -> None:
        self._count += 1
        off = value - self._mean
        self._mean += off / self._count
        self._squares += off * (value - self._mean)

    @property
    def variation(self) -> float | None:
        """Standard deviation over mean; None if there is no telling."""
        if self._count < 2 or self._mean <= 0:
            return None
        return math.sqrt(self._squares / (self._count - 1)) / self._mean


def _grouped(by_second: Sequence[int], window_s: int) -> list[int]:
    return [sum(by_second[start : start + window_s]) for start in range(0, len(by_second), window_s)]


def _dispersion(counts: Sequence[int]) -> float | None:
    whole = counts[:-1]  # the last window is cut short
    if len(whole) < 2:
        return None
    mean = sum(whole) / len(whole)
    if not mean:
        return None
    return sum((count - mean) ** 2 for count in whole) / (len(whole) - 1) / mean


def _lengths(counter: Counter[int], total: int) -> Lengths:
    ordered = sorted(counter.items())
    count = counter.total()
    p50, p90, p95, p99 = (_percentile(ordered, math.ceil(count * share / 100)) for share in (50, 90, 95, 99))
    return Lengths(mean=total / count, p50=p50, p90=p90, p95=p95, p99=p99, max=ordered[-1][0])


def _percentile(ordered: Sequence[tuple[int, int]], rank: int) -> int:
    seen = 0
    for value, count in ordered:
        seen += count
        if seen >= rank:
            return value
    return ordered[-1][0]
