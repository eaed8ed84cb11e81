"""The learned factor: it converges, stays bounded, ignores noise and forgives."""

import pytest

from penstock.router.correction import Correction


def learn(correction: Correction, *, true_factor: float, times: int, base_s: float = 1.0) -> None:
    """Predict with the factor in force, observe the truth."""
    for _ in range(times):
        factor = correction.factor
        correction.observe(base_s * factor, base_s * true_factor, factor=factor, now_s=0.0)


@pytest.mark.parametrize("true_factor", [0.5, 1.0, 2.0, 3.0])
def test_it_finds_how_far_off_the_model_is(true_factor: float) -> None:
    """Within one step of a quarter octave."""
    correction = Correction(known=True)
    learn(correction, true_factor=true_factor, times=60)
    assert correction.factor == pytest.approx(true_factor, rel=0.2)


@pytest.mark.parametrize(("known", "bound"), [(True, 4.0), (False, 32.0)])
def test_it_stays_within_bounds(known: bool, bound: float) -> None:
    """A stuck worker must not make every other number meaningless."""
    correction = Correction(known=known)
    learn(correction, true_factor=1e6, times=500)
    assert correction.factor == bound


def test_late_news_does_not_push_it_past_the_truth() -> None:
    """A hundred requests predicted alike, before anything was learned, are one piece of news."""
    correction = Correction(known=True)
    for _ in range(100):
        correction.observe(1.0, 2.0, factor=1.0, now_s=0.0)
    assert correction.factor == 2.0


def test_milliseconds_of_network_are_no_news() -> None:
    """2 ms predicted and 6 ms observed is a factor of 3, and means nothing."""
    correction = Correction(known=True)
    learn(correction, true_factor=3.0, times=100, base_s=0.002)
    assert correction.factor <= 1.2


def test_without_news_it_returns_to_one() -> None:
    """Else a worker that looked slow once would never be tried again."""
    correction = Correction(known=True)
    learn(correction, true_factor=4.0, times=100)
    factors = []
    for _ in range(400):
        correction.relax(0.977)
        factors.append(correction.factor)
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == 1.0


def test_small_differences_are_no_differences() -> None:
    """Workers that differ by noise keep equal prices, so that ties stay ties."""
    correction = Correction(known=True)
    learn(correction, true_factor=1.07, times=100)
    assert correction.factor == 1.0
