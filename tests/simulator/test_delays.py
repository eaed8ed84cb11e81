"""Durations follow what the world's file says of them."""

import random
from statistics import fmean, median, stdev

import pytest

from penstock.simulator.delays import Delays
from penstock.simulator.world_spec import DelaySpec


@pytest.mark.parametrize("distribution", ["lognormal", "normal"])
def test_mean_and_spread_are_as_stated(distribution: str) -> None:
    """Of both; only the lognormal has a long tail, so that its middle is below its mean."""
    spec = DelaySpec.model_validate({"mean_s": 100, "cv": 0.3, "distribution": distribution})
    delays = Delays(random.Random(7))
    drawn = [delays.draw(spec) for _ in range(20_000)]
    assert fmean(drawn) == pytest.approx(100, rel=0.02)
    assert stdev(drawn) == pytest.approx(30, rel=0.05)
    assert (median(drawn) < 98) == (distribution == "lognormal")
    assert min(drawn) >= 0


def test_without_spread_it_is_always_the_mean() -> None:
    """And nothing is drawn, so that others' draws do not change."""
    delays = Delays(random.Random(7))
    assert delays.draw(DelaySpec(mean_s=5)) == 5
    assert delays.draw(DelaySpec(mean_s=1, cv=0.5)) == Delays(random.Random(7)).draw(DelaySpec(mean_s=1, cv=0.5))
