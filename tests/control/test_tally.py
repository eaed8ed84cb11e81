"""A run added up from the gateway's counts: windows, replicas, scale events."""

import pytest

from penstock.control.exposition import parse_exposition
from penstock.control.gateway_view import WANTED, GatewayView
from penstock.control.tally import Tally
from penstock.messages.observation import Observation, PoolSeen
from penstock.messages.spec import SloSpec
from penstock.telemetry.gateway_metrics import GatewayMetrics
from penstock.telemetry.summary import result_to_json

SLO = SloSpec(ttft_s=0.5, itl_s=0.05, percentile=90, window_s=10)


class Run:
    def __init__(self) -> None:
        self.metrics = GatewayMetrics(slo_ttft_s=SLO.ttft_s, slo_itl_s=SLO.itl_s)
        self.view, self.tally = GatewayView(SLO), Tally(SLO)
        self.view.born(0)

    def requests(self, count: int, ttft_s: float = 0.1, code: int = 200) -> None:
        for _ in range(count):
            self.metrics.received.inc()
            self.metrics.answered(code)
            if code == 200:
                self.metrics.time_to_first_token.observe(ttft_s)

    def look(self, at_s: float, desired: int = 1, ready: int = 1) -> None:
        self.view.read(at_s, parse_exposition(self.metrics.exposition().decode(), WANTED))
        pool = PoolSeen(component="w", desired=desired, starting=desired - ready, ready=ready, draining=0)
        self.tally.observed(Observation(time_s=at_s, pools=(pool,), totals=self.view.totals()))

    def result(self) -> dict:
        return result_to_json(self.tally.result(self.view, None, wall_s=40.0))


def test_windows_are_met_by_percentile_and_those_without_a_request_say_nothing() -> None:
    run = Run()
    run.look(0.5)
    run.requests(9)
    run.requests(1, ttft_s=2.0)
    run.look(9.5)  # 9 of 10 within: met at p90
    run.requests(8)
    run.requests(2, ttft_s=2.0)
    run.look(19.5)  # 8 of 10: missed
    run.look(29.5)  # nobody came
    run.requests(9)
    run.requests(2, code=503)
    run.look(39.5)  # two were turned away: missed
    slo = run.result()["slo"]
    assert (slo["windows"], slo["windows_met"]) == (3, 1)
    assert slo["attainment"] == pytest.approx(1 / 3)


def test_requests_are_offered_once_each() -> None:
    run = Run()
    for count, code in ((5, 200), (2, 429), (1, 502), (3, 499)):
        run.requests(count, code=code)
    run.look(1)
    assert run.result()["requests"] == {"offered": 8, "completed": 5, "rejected": 2, "failed": 1}


def test_replicas_are_kept_as_changes_and_scale_events_are_changes_of_the_wish() -> None:
    run = Run()
    for at_s, desired, ready in ((0, 1, 0), (1, 1, 0), (2, 1, 1), (3, 3, 1), (4, 3, 3), (5, 2, 3)):
        run.look(at_s, desired, ready)
    document = run.result()
    assert document["replicas"] == {"w": [[0, 1, 0], [2, 1, 1], [3, 3, 1], [4, 3, 3], [5, 2, 3]]}
    assert document["scale_events"] == 2


def test_the_document_has_the_keys_of_the_contract_and_no_costs_without_gpus() -> None:
    run = Run()
    run.look(1)
    document = run.result()
    assert set(document) == {
        *("requests", "ttft_s", "itl_s", "e2e_s", "tokens", "slo", "replicas", "scale_events"),
        *("wall_s", "requests_per_wall_s"),
    }
    assert document["ttft_s"] == {"mean": None, "p50": None, "p95": None, "p99": None}
