"""The gateway's signals from scrapes of its real metrics: windows, percentiles, restarts, and silence."""

import pytest

from penstock.control.exposition import Scrape, parse_exposition
from penstock.control.gateway_view import OSL, WANTED, GatewayView
from penstock.messages.observation import Signal
from penstock.messages.spec import SloSpec
from penstock.telemetry.gateway_metrics import GatewayMetrics

SLO = SloSpec(ttft_s=0.5, itl_s=0.05, percentile=95)


def new_metrics() -> GatewayMetrics:
    return GatewayMetrics(slo_ttft_s=SLO.ttft_s, slo_itl_s=SLO.itl_s)


def scraped(metrics: GatewayMetrics) -> Scrape:
    return parse_exposition(metrics.exposition().decode(), WANTED)


def serve(metrics: GatewayMetrics, requests: int, *, ttft_s: float = 0.2, code: int = 200) -> None:
    for _ in range(requests):
        metrics.received.inc()
        metrics.answered(code)
        if code == 200:
            metrics.time_to_first_token.observe(ttft_s)
            metrics.inter_token_latency.observe(0.02, 9)
            metrics.request_duration.observe(ttft_s + 0.18)
            metrics.request_prompt_tokens.observe(1000)
            metrics.request_output_tokens.observe(10)
            metrics.prompt_tokens.inc(1000)
            metrics.prompt_tokens_cached.inc(250)
            metrics.output_tokens.inc(10)


def view_after(seconds: int, per_s: int = 4, **how: float) -> tuple[GatewayView, GatewayMetrics]:
    metrics, view = new_metrics(), GatewayView(SLO)
    view.born(0)
    for second in range(1, seconds + 1):
        serve(metrics, per_s, **how)
        view.read(second, scraped(metrics))
    return view, metrics


def test_demand_counts_what_arrived_whether_served_or_not() -> None:
    view, metrics = view_after(10)
    for second in range(11, 21):
        metrics.received.inc(12)
        view.read(second, scraped(metrics))
    assert view.signals(20, 5)[Signal.DEMAND].value == pytest.approx(12)


def test_demand_is_counted_over_the_interval_of_who_asks_within_bounds() -> None:
    view, metrics = view_after(30, per_s=4)
    for second in range(31, 34):
        metrics.received.inc(20)
        view.read(second, scraped(metrics))
    demand = {interval_s: view.signals(33, interval_s)[Signal.DEMAND].value for interval_s in (0.5, 2, 5, 15, 300)}
    assert demand[0.5] == demand[2] == pytest.approx(20)
    assert demand[5] == pytest.approx((2 * 4 + 3 * 20) / 5)
    assert demand[15] == demand[300] == pytest.approx((12 * 4 + 3 * 20) / 15)


def test_a_scrape_that_came_a_little_early_or_late_does_not_hide_the_demand() -> None:
    metrics, view = new_metrics(), GatewayView(SLO)
    for second in range(10):
        metrics.received.inc(6)
        view.read(second + (0.0 if second % 2 else 0.3), scraped(metrics))
        if second >= 3:
            assert view.signals(second + 0.05, 2)[Signal.DEMAND].value == pytest.approx(6, rel=0.2)


def test_lengths_latencies_and_hits_are_read_from_histograms_and_counters() -> None:
    view, _ = view_after(30)
    signals = view.signals(30, 5)
    assert signals[Signal.ISL].value == pytest.approx(1000)
    assert signals[Signal.OSL].value == pytest.approx(10)
    assert signals[Signal.HIT_RATIO].value == pytest.approx(0.25)
    assert signals[Signal.ISL_P95].value == pytest.approx(1000, rel=0.2)  # edges are a quarter of an octave apart
    assert 0.15 <= signals[Signal.TTFT].value <= 0.2
    assert 0.0175 <= signals[Signal.ITL].value <= 0.02


def test_without_requests_there_are_no_latencies_and_the_demand_is_a_measured_zero() -> None:
    view, metrics = GatewayView(SLO), new_metrics()
    for second in range(5):
        view.read(second, scraped(metrics))
    signals = view.signals(4, 5)
    assert signals[Signal.DEMAND].value == 0
    assert not {Signal.TTFT, Signal.ITL, Signal.ISL, Signal.OSL, Signal.HIT_RATIO} & set(signals)


def test_a_gateway_that_falls_silent_grows_old_and_then_says_nothing() -> None:
    view, _ = view_after(10)
    for second in range(11, 14):
        view.read(second, Scrape())
    assert view.signals(13, 5)[Signal.DEMAND].age_s == 3
    assert Signal.DEMAND not in view.signals(40, 5)
    assert Signal.TTFT not in view.signals(80, 5)


def test_a_restart_of_the_gateway_loses_no_count_and_invents_none() -> None:
    view, _ = view_after(10)
    fresh = new_metrics()
    view.born(10.5)
    for second in range(11, 21):
        serve(fresh, 4)
        view.read(second, scraped(fresh))
    assert view.totals()["completed"] == 80
    assert view.signals(20, 5)[Signal.DEMAND].value == pytest.approx(4, rel=0.1)


def test_endings_are_sorted_by_code_and_what_clients_did_wrong_stands_apart() -> None:
    view, metrics = view_after(1)
    for code, count in ((429, 2), (503, 3), (502, 1), (400, 1), (499, 5)):
        serve(metrics, count, code=code)
    view.read(2, scraped(metrics))
    totals = view.totals()
    assert (totals["completed"], totals["rejected"], totals["failed"], totals["client_left"]) == (4, 5, 1, 5)
    assert totals["client_errors"] == 1


def test_within_target_is_counted_exactly_at_the_target() -> None:
    view, metrics = view_after(1, per_s=3, ttft_s=0.5)
    serve(metrics, 2, ttft_s=0.500001)
    view.read(2, scraped(metrics))
    totals = view.totals()
    assert (totals["ttft_observed"], totals["ttft_within"]) == (5, 3)


def test_a_view_that_was_never_read_knows_no_totals() -> None:
    assert GatewayView(SLO).totals() == {}


def test_a_scrape_without_one_histogram_leaves_only_that_one_unknown() -> None:
    metrics, view = new_metrics(), GatewayView(SLO)
    for second in range(10):
        serve(metrics, 4)
        full = scraped(metrics)
        view.read(second, Scrape(tuple(series for series in full.series if not series.name.startswith(OSL))))
    signals = view.signals(9, 5)
    assert Signal.OSL not in signals
    assert Signal.ISL in signals
