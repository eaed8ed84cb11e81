"""Requests for a rehearsal: Poisson or burstier arrivals, lognormal lengths, the same on every run.

Lengths of prompts and outputs are well described by a lognormal, which its mean and 95th percentile fix. The draws are
stratified: each quantile of the distribution comes exactly once, in a shuffled order. So the mean is right with a few
hundred requests, while gaps stay as clustered as Poisson's are. Gaps are drawn for one request a second and divided by
the rate, so two rates meet the same requests in the same order, and a search over rates sees no noise of its own.

It knows no engine. Randomness is a counter hashed by splitmix64 (Steele, Lea and Flood, 2014), no global generator.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

_MASK = (1 << 64) - 1
_Z95 = NormalDist().inv_cdf(0.95)
# A lognormal's p95 is at most this many times its mean, whatever its width (at sigma = z95).
WIDEST_P95_OVER_MEAN = math.exp(_Z95**2 / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What requests look like. Tokens; `hit_ratio` is the share of prompt tokens found in the KV cache, 0 to 1.

    `dispersed`: how bursty arrivals are: variance of their count over that of Poisson arrivals', 1 or more.
    """

    isl: float
    isl_p95: float
    osl: float
    osl_p95: float
    hit_ratio: float = 0.0
    dispersed: float = 1.0


class Arrival(NamedTuple):
    """One request: when, at a rate of one a second, and how long."""

    at: float
    prompt_tokens: int
    output_tokens: int


@lru_cache(maxsize=64)
def arrivals(mix: Mix, count: int, longest: int) -> tuple[Arrival, ...]:
    """`count` requests of the mix, in order of time; prompt and output together take at most `longest` tokens."""
    gaps = _gaps(count, mix.dispersed)
    prompts = _lengths(mix.isl, mix.isl_p95, count, seed=2)
    outputs = _lengths(mix.osl, mix.osl_p95, count, seed=3)
    result, at = [], 0.0
    for gap, drawn_prompt, drawn_output in zip(gaps, prompts, outputs, strict=True):
        at += gap
        prompt = min(drawn_prompt, longest - 1)
        result.append(Arrival(at, prompt, min(drawn_output, longest - prompt)))
    return tuple(result)


def prompts_above(mix: Mix, tokens: int) -> float:
    """The share of prompts that are longer than this, 0 to 1."""
    sigma = lognormal_sigma(mix.isl, mix.isl_p95)
    mean = max(mix.isl, 1.0)
    if tokens < 1 or not sigma:
        return float(round(mean) > tokens)
    return 1 - NormalDist().cdf((math.log((tokens + 0.5) / mean) + sigma * sigma / 2) / sigma)


@lru_cache(maxsize=64)
def _gaps(count: int, dispersed: float) -> tuple[float, ...]:
    """Gaps of mean 1: exponential, or of two kinds, short and long, that make up half of the time each.

    The hyperexponential with balanced means; its squared coefficient of variation is, for many arrivals, the dispersion
    of their count (Cox, Renewal Theory, 1962).
    """
    unit = [-math.log1p(-u) for u in _shuffled(count, 1)]
    if dispersed == 1.0:
        return tuple(unit)
    short = (1 + math.sqrt((dispersed - 1) / (dispersed + 1))) / 2
    kinds = _shuffled(count, 4)
    gaps = [gap / (2 * short if u < short else 2 * (1 - short)) for gap, u in zip(unit, kinds, strict=True)]
    scale = count / sum(gaps)
    return tuple(gap * scale for gap in gaps)


def _lengths(mean: float, p95: float, count: int, *, seed: int) -> list[int]:
    sigma = lognormal_sigma(mean, p95)
    mu = math.log(max(mean, 1.0)) - sigma * sigma / 2
    scores = _scores(count, seed)
    return [max(1, round(math.exp(mu + sigma * score))) for score in scores]


@lru_cache(maxsize=32)
def _scores(count: int, seed: int) -> tuple[float, ...]:
    normal = NormalDist()
    return tuple(normal.inv_cdf(u) for u in _shuffled(count, seed))


def lognormal_sigma(mean: float, p95: float) -> float:
    """The width whose p95 lies at this multiple of the mean: the smaller solution of z s - s^2/2 = ln(p95 / mean)."""
    wide = math.log(max(p95, mean, 1.0) / max(mean, 1.0))
    return _Z95 - math.sqrt(max(0.0, _Z95 * _Z95 - 2 * wide))


@lru_cache(maxsize=32)
def _shuffled(count: int, seed: int) -> tuple[float, ...]:
    """The middles of `count` equal parts of (0, 1), shuffled (Fisher and Yates)."""
    values = [(i + 0.5) / count for i in range(count)]
    state = seed
    for i in range(count - 1, 0, -1):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        j = _mixed(state) % (i + 1)
        values[i], values[j] = values[j], values[i]
    return tuple(values)


def _mixed(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
