"""How long made requests are: lognormal by mean and spread, or drawn from the requests of a trace.

A trace's lengths are kept as pairs, since long prompts and long answers do not come independently; of a long trace a
sample is kept, each request equally likely (reservoir sampling: Vitter, "Random sampling with a reservoir", 1985).
"""

import math
import random
from collections.abc import Callable, Iterable

from penstock.workload.arrival import Arrival
from penstock.workload.workload_spec import LengthSpec

MOST_PAIRS = 65_536

Lengths = Callable[[], tuple[int, int]]
"""Draws (new prompt tokens, output tokens) of one request."""


def lognormal_lengths(inputs: LengthSpec, outputs: LengthSpec, draw: random.Random) -> Lengths:
    """Prompt and output independent of each other."""
    draw_input, draw_output = _lognormal(inputs, draw), _lognormal(outputs, draw)
    return lambda: (draw_input(), draw_output())


def empirical_lengths(arrivals: Iterable[Arrival], draw: random.Random) -> Lengths:
    """Those of the requests of a trace, which must have one."""
    pairs: list[tuple[int, int]] = []
    for seen, arrival in enumerate(arrivals):
        pair = (arrival.input_tokens, arrival.output_tokens)
        if seen < MOST_PAIRS:
            pairs.append(pair)
        elif (place := draw.randrange(seen + 1)) < MOST_PAIRS:
            pairs[place] = pair
    return lambda: draw.choice(pairs)


def _lognormal(spec: LengthSpec, draw: random.Random) -> Callable[[], int]:
    variance = math.log1p(spec.cv**2)
    mu, sigma, most = math.log(spec.mean) - variance / 2, math.sqrt(variance), spec.max

    def length() -> int:
        return min(max(round(math.exp(draw.gauss(mu, sigma))), 1), most)

    return length
