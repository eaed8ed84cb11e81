"""What requests to come weigh."""

import pytest

from penstock.router.demand import MEMORY_S, Demand


def steady(rate: float, work_s: float, workers: int) -> float:
    """Congestion after long enough at one rate."""
    demand = Demand()
    for number in range(int(rate * MEMORY_S * 8)):
        demand.add(work_s, workers=workers, now_s=number / rate)
    return demand.congestion_per_s


@pytest.mark.parametrize(
    ("rate", "work_s", "workers", "expected"),
    [
        (4.0, 0.1, 4, 1.0 / (1 - 0.1)),
        (20.0, 0.1, 4, 5.0 / (1 - 0.5)),
        (40.0, 0.2, 4, 10.0 / (1 - 0.8)),  # ρ = 2 counts as 0.8
    ],
)
def test_congestion_is_the_rate_over_what_is_idle(rate: float, work_s: float, workers: int, expected: float) -> None:
    """λ / (1 - ρ), both for one worker."""
    assert steady(rate, work_s, workers) == pytest.approx(expected, rel=0.05)


def test_old_demand_is_forgotten() -> None:
    """After a lull the first request meets none."""
    demand = Demand()
    for number in range(1000):
        demand.add(0.1, workers=2, now_s=number / 10)
    demand.add(0.1, workers=2, now_s=100 + 20 * MEMORY_S)
    assert demand.congestion_per_s == pytest.approx(1 / (2 * MEMORY_S), rel=0.01)
