"""What a workload asks of engines: its mix, its longest request, its rates. One pass over it."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from penstock.autoscale.arrivals import Mix
from penstock.workload.arrival import Arrival
from penstock.workload.stats import WorkloadStats, workload_stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A workload in figures.

    Args:
        mix: mean and p95 of lengths; the hit ratio is that of one cache without bounds, so the most there can be.
        prompt_tokens: of the prompt at the targets' percentile. longest: prompt and output of one request at most.
    """

    stats: WorkloadStats
    mix: Mix
    prompt_tokens: int
    longest: int

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
    longest = 0

    def watched() -> Iterator[Arrival]:
        nonlocal longest
        for arrival in arrivals:
            prompts[arrival.input_tokens] += 1
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
    return Demand(stats=stats, mix=mix, prompt_tokens=_at(prompts, percentile), longest=longest)


def _at(counts: Counter[int], percentile: float) -> int:
    """By nearest rank."""
    rank, seen = math.ceil(counts.total() * percentile / 100), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            return value
    return max(counts)
