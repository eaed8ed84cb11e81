"""What a workload asks of engines: its mix, its longest request, its rates. One pass over it."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from penstock.autoscale.arrivals import Mix
from penstock.workload.arrival import Arrival
from penstock.workload.stats import MAX_SECONDS, WorkloadStats, workload_stats

STRETCHES_S = (1, 2, 5, 10, 20, 30, 60, 120, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A workload in figures.

    Args:
        mix: mean and p95 of lengths; the hit ratio is that of one cache without bounds, so the most there can be.
        prompt_tokens: of the prompt at the targets' percentile. longest: prompt and output of one request at most.
        most_within: requests that arrived at most within a stretch of so many seconds.
    """

    stats: WorkloadStats
    mix: Mix
    prompt_tokens: int
    longest: int
    most_within: Mapping[int, int]

    def burst_per_s(self, ttft_s: float) -> float:
        """The rate that keeps up with the worst burst, if each request may wait for `ttft_s`.

        As much as came within any stretch must have left within that stretch and the time that the last may wait: the
        arrival curve of network calculus (Cruz, "A calculus for network delay", 1991).
        """
        return max(most / (stretch_s + ttft_s) for stretch_s, most in self.most_within.items())

    @property
    def duration_s(self) -> float:
        return self.stats.duration_s

    @property
    def tokens(self) -> int:
        """Of all prompts and outputs."""
        return self.stats.total_input_tokens + self.stats.total_output_tokens


def demand_of(arrivals: Iterable[Arrival], *, percentile: float) -> Demand:
    """Look through a workload once. Raises: InputError, if it is empty."""
    prompts: Counter[int] = Counter()
    by_second: list[int] = []
    longest = 0

    def watched() -> Iterator[Arrival]:
        nonlocal longest
        for arrival in arrivals:
            prompts[arrival.input_tokens] += 1
            second = int(arrival.arrival_s)
            if second < MAX_SECONDS:  # else it is refused by whoever is next
                by_second.extend([0] * (second + 1 - len(by_second)))
                by_second[second] += 1
            longest = max(longest, arrival.input_tokens + arrival.output_tokens)
            yield arrival

    stats = workload_stats(watched())
    inputs, outputs = stats.input_tokens, stats.output_tokens
    mix = Mix(
        isl=inputs.mean,
        isl_p95=float(inputs.p95),
        osl=outputs.mean,
        osl_p95=float(outputs.p95),
        hit_ratio=stats.prefix_reuse,
    )
    return Demand(
        stats=stats,
        mix=mix,
        prompt_tokens=_at(prompts, percentile),
        longest=longest,
        most_within={stretch_s: _most_within(by_second, stretch_s) for stretch_s in STRETCHES_S},
    )


def _most_within(by_second: Sequence[int], stretch_s: int) -> int:
    """Over all stretches that begin with a second."""
    now = most = sum(by_second[:stretch_s])
    for second in range(stretch_s, len(by_second)):
        now += by_second[second] - by_second[second - stretch_s]
        most = max(most, now)
    return most


def _at(counts: Counter[int], percentile: float) -> int:
    """By nearest rank."""
    rank, seen = math.ceil(counts.total() * percentile / 100), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            return value
    return max(counts)
