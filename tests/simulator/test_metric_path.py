"""When processes are scraped, and what is seen of them then: old, spread, late, or not at all, but never zero."""

from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError
from virtual_runs import Run, deployment, workload
from world_checks import look

from penstock.messages.observation import Signal
from penstock.simulator.prometheus import Prometheus
from penstock.simulator.worker_counters import WorkerCounters
from penstock.simulator.world_spec import WorldSpec

FOUR = {"name": "worker", "role": "worker", "replicas": 4}


def run_with(seed: int = 0, **metrics: Any) -> Run:
    world = WorldSpec.model_validate({"metrics": metrics})
    return Run(deployment(FOUR), workload(6, 4000, rate=10.0), world=world, seed=seed)


@pytest.fixture
def scraped(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """Instants at which each worker is scraped through Prometheus."""
    at_s: dict[str, list[float]] = {}
    plain = Prometheus.scrape_worker

    def note(prometheus: Prometheus, now_s: float, worker: str, counts: WorkerCounters) -> None:
        at_s.setdefault(worker, []).append(now_s)
        plain(prometheus, now_s, worker, counts)

    monkeypatch.setattr(Prometheus, "scrape_worker", note)
    return at_s


def test_each_target_has_its_own_place_within_the_interval(scraped: dict[str, list[float]]) -> None:
    """Fixed by the seed, a scrape every 30 s from there."""
    look(run_with(through="prometheus"), 200.0)
    assert len(scraped) == 4
    places = {round(at_s % 30, 6) for each in scraped.values() for at_s in each}
    assert len(places) == 4
    assert all(len(each) in (6, 7) for each in scraped.values())
    before = {worker: list(each) for worker, each in scraped.items()}
    scraped.clear()
    look(run_with(through="prometheus"), 200.0)
    assert scraped == before
    scraped.clear()
    look(run_with(seed=1, through="prometheus"), 200.0)
    assert scraped != before


def test_jitter_makes_scrapes_late_and_never_drifts(scraped: dict[str, list[float]]) -> None:
    """Up to so many seconds after their place."""
    look(run_with(through="prometheus", scrape_s=15, jitter_s=4), 300.0)
    for each in scraped.values():
        apart = [min((a - b) % 15, (b - a) % 15) for a, b in pairwise(each)]
        assert max(apart) <= 4
        assert len({round(value, 3) for value in apart}) > 3
        assert len(each) in (19, 20)


def test_a_managed_service_shows_a_sample_only_once_it_is_ingested() -> None:
    """Then its value is that of the scrape: the same figures, so much later."""
    prompt = run_with(through="prometheus")
    managed = run_with(through="managed-prometheus")
    running = [
        [look(run, float(at_s)).pools[0].signals.get(Signal.RUNNING) for at_s in range(40, 200)]
        for run in (prompt, managed)
    ]
    assert running[1][15:] == running[0][:-15]
    assert running[1] != running[0]


def test_what_was_not_scraped_is_absent_and_not_zero() -> None:
    """Before the first scrape, and while all of them fail."""
    run = run_with(through="prometheus", missed=0.999_999)
    for at_s in range(10, 100, 10):
        signals = look(run, float(at_s)).pools[0].signals
        assert set(signals) == {Signal.LEAD_TIME}


def test_a_failed_scrape_ends_the_series_until_the_next() -> None:
    """As Prometheus does it; read directly, the last value stays and grows old."""
    present = {
        through: [
            Signal.HELD in look(run, float(at_s)).pools[0].signals for run in [run_] for at_s in range(60, 400, 5)
        ]
        for through in ("prometheus", "direct")
        for run_ in [run_with(through=through, scrape_s=5, missed=0.3)]
    }
    assert 0.5 < sum(present["prometheus"]) / len(present["prometheus"]) < 0.9
    assert all(present["direct"])


@pytest.mark.parametrize(
    ("metrics", "complaint"),
    [
        ({"through": "prometheus", "rate_window_s": 40}, "fewer than two scrapes of 30 s"),
        ({"jitter_s": 1}, "more than half of the interval"),
        ({"ingestion_s": 5}, "answer at once"),
    ],
)
def test_settings_that_cannot_be_are_refused(metrics: dict[str, Any], complaint: str) -> None:
    """With what would be right."""
    with pytest.raises(ValidationError, match=complaint):
        WorldSpec.model_validate({"metrics": metrics})
