"""Requests per second over time, step by step: what a `RateSpec` says, with its chances drawn.

A step is at most a second long and has one rate. Everything multiplies: level, points, wave, days, states, noise,
spikes. States are a Markov chain in continuous time; noise is the exponential of an Ornstein-Uhlenbeck process whose
mean is 1, exact at any step.
"""

import math
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator

from penstock.workload.workload_spec import NoiseSpec, RateSpec, SpikesSpec, StateSpec, WaveSpec

_STEPS = 5000  # of a duration, at least
_LONGEST_STEP_S = 1.0
_DAY_S = 86_400.0


def rates(spec: RateSpec, duration_s: float, draw: random.Random) -> Iterator[tuple[float, float]]:
    """Yield (length in seconds, requests per second) of each step, from 0 s on."""
    step_s = min(_LONGEST_STEP_S, duration_s / _STEPS)
    # Each part draws from a stream of its own, so that one that is taken out leaves the others as they were.
    streams = {name: random.Random(draw.getrandbits(64)) for name in ("states", "noise", "spikes")}
    parts: list[Iterator[float]] = []
    if spec.states:
        parts.append(_states(spec.states, step_s, streams["states"]))
    if spec.noise is not None and spec.noise.cv:
        parts.append(_noise(spec.noise, step_s, streams["noise"]))
    if spec.spikes is not None:
        parts.append(_spikes(spec.spikes, step_s, streams["spikes"]))
    for step in range(math.ceil(duration_s / step_s)):
        rate = spec.requests_per_second * planned(spec, (step + 0.5) * step_s)
        for part in parts:
            rate *= next(part)
        yield step_s, rate


def planned(spec: RateSpec, at_s: float) -> float:
    """The multiple of the level that is not drawn: points, wave and days."""
    times = _points(spec, at_s) if spec.points else 1.0
    if spec.wave is not None:
        times *= _wave(spec.wave, at_s)
    if spec.days:
        times *= spec.days[int(at_s // _DAY_S) % len(spec.days)]
    return times


def _points(spec: RateSpec, at_s: float) -> float:
    points = spec.points
    if spec.points_every_s is not None:
        at_s %= spec.points_every_s
    place = bisect_right(points, at_s, key=lambda point: point[0])
    if place == 0:
        return points[0][1]
    if place == len(points):
        return points[-1][1]
    (before_s, before), (after_s, after) = points[place - 1], points[place]
    return before + (after - before) * (at_s - before_s) / (after_s - before_s)


def _wave(wave: WaveSpec, at_s: float) -> float:
    return 1 + wave.swing * math.cos(2 * math.pi * (at_s - wave.peak_at_s) / wave.period_s)


def _states(states: tuple[StateSpec, ...], step_s: float, draw: random.Random) -> Iterator[float]:
    """The mean over each step, since a state may last less."""
    place = draw.randrange(len(states))
    left_s = draw.expovariate(1 / states[place].dwell_s)
    while True:
        to_go, mean = step_s, 0.0
        while left_s < to_go:
            mean += states[place].times * left_s / step_s
            to_go -= left_s
            place = (place + draw.randrange(1, len(states))) % len(states)
            left_s = draw.expovariate(1 / states[place].dwell_s)
        left_s -= to_go
        yield mean + states[place].times * to_go / step_s


def _noise(noise: NoiseSpec, step_s: float, draw: random.Random) -> Iterator[float]:
    variance = math.log1p(noise.cv**2)
    spread = math.sqrt(variance)
    keep = math.exp(-step_s / noise.memory_s)
    renew = spread * math.sqrt(1 - keep * keep)
    level = draw.gauss(0.0, spread)
    while True:
        yield math.exp(level - variance / 2)
        level = keep * level + renew * draw.gauss(0.0, 1.0)


def _spikes(spikes: SpikesSpec, step_s: float, draw: random.Random) -> Iterator[float]:
    """The highest at each instant: of those that rise the oldest, else the youngest, since all have one form."""
    starts = _spike_starts(spikes, draw)
    following = next(starts, math.inf)
    rising: deque[float] = deque()
    risen = -math.inf
    at_s = step_s / 2
    while True:
        while following <= at_s:
            rising.append(following)
            following = next(starts, math.inf)
        while rising and at_s - rising[0] >= spikes.rise_s:
            risen = rising.popleft()
        height = _height(spikes, at_s - risen)
        if rising:
            height = max(height, _height(spikes, at_s - rising[0]))
        yield 1 + (spikes.times - 1) * height
        at_s += step_s


def _spike_starts(spikes: SpikesSpec, draw: random.Random) -> Iterator[float]:
    if spikes.every_s is None:
        yield from sorted(spikes.at_s)
        return
    at_s = 0.0
    while True:
        at_s += spikes.every_s * (draw.gammavariate(1 / spikes.cv**2, spikes.cv**2) if spikes.cv else 1.0)
        yield at_s


def _height(spikes: SpikesSpec, since_s: float) -> float:
    if since_s < spikes.rise_s:
        return since_s / spikes.rise_s
    since_s -= spikes.rise_s + spikes.hold_s
    if since_s < 0:
        return 1.0
    return 1 - since_s / spikes.fall_s if since_s < spikes.fall_s else 0.0
