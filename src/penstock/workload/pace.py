"""When made requests come: a rate over time, and how regular the gaps are.

A renewal process with gaps of mean 1 is drawn in operational time, then laid over real time by the inverse of the
integrated rate. With exponential gaps (cv 1) that is exactly a Poisson process of that rate, whatever its shape;
gamma gaps with cv > 1 make it bursty, with cv < 1 regular. Source: Daley, Vere-Jones, "An Introduction to the Theory
of Point Processes", 7.4 (time change).
"""

import random
from collections.abc import Iterator

from penstock.workload.rate import rates
from penstock.workload.workload_spec import RateSpec


def instants(spec: RateSpec, duration_s: float, draw: random.Random) -> Iterator[float]:
    """Yield when requests come, in order, from 0 s on and before the duration has passed."""
    shape, scale = 1 / spec.gaps_cv**2, spec.gaps_cv**2
    # An equilibrium renewal process would draw the first gap from its residual law; a uniform share of one gap is near.
    due = draw.gammavariate(shape, scale) * draw.random()
    passed = start_s = 0.0
    for step, (step_s, rate) in enumerate(rates(spec, duration_s, draw)):
        start_s = step * step_s
        until = passed + rate * step_s
        while due < until:
            at_s = start_s + (due - passed) / rate
            if at_s >= duration_s:
                return
            yield at_s
            due += draw.gammavariate(shape, scale)
        passed = until
