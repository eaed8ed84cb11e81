"""Instant selectors, `rate`, `increase` and `histogram_quantile` against Prometheus' own engine (3.13): equal to 1e-9.

`PENSTOCK_ORACLE_SEED` tries other series; a failure names the seed.
"""

import math
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from promql_scrapes import recorded
from promql_series import INTERVALS_MS, buckets, counter, instants, moments, rows
from promql_store import Given, Query, Scraped, Store, Vector, asked, close

from go_program import go_program
from penstock.control.exposition import parse_exposition
from penstock.telemetry import promql
from penstock.telemetry.quantile import histogram_quantile
from penstock.telemetry.vllm_metrics import TTFT_EDGES_S

SEED = int(os.environ.get("PENSTOCK_ORACLE_SEED", "1"))
QUANTILES = (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(1800)]  # the first build takes minutes


@pytest.fixture(scope="module")
def engine() -> Path:
    """Prometheus' engine."""
    return go_program(Path(__file__).parent / "go" / "prometheus")


@dataclass(frozen=True, slots=True)
class Answered:
    """A query over stored counters and Prometheus' answer; `ours` answers it for one of them."""

    store: Store
    query: Query
    ours: Callable[[Given, int], float | None]
    answer: Vector

    def difference(self) -> str | None:
        """What differs, told so that it can be tried again; None if nothing."""
        for one in self.store.series:
            ours, theirs = self.ours(one, self.query.at_ms), self.answer.get(frozenset({("n", one.labels["n"])}))
            if not close(ours, theirs):
                return f"seed {SEED}: {self.query}: ours {ours}, Prometheus {theirs}, of {one}"
        return None


def selections(window_ms: int) -> dict[str, Callable[[Given, int], float | None]]:
    """What can be asked of counters `c`, and how we answer it for one of them."""
    return {
        "c": lambda one, at_ms: promql.instant(one.times_ms, one.values, at_ms=at_ms),
        f"rate(c[{window_ms}ms])": lambda one, at_ms: promql.rate(
            one.times_ms, one.values, at_ms=at_ms, window_ms=window_ms
        ),
        f"increase(c[{window_ms}ms])": lambda one, at_ms: promql.increase(
            one.times_ms, one.values, at_ms=at_ms, window_ms=window_ms
        ),
    }


@pytest.fixture(scope="module")
def counters(engine: Path) -> list[Answered]:
    """200 stores of six counters each, asked at 25 instants."""
    rng = Random(f"counters {SEED}")
    stores, windows_ms, queries = [], [], []
    for _ in range(200):
        interval_ms = rng.choice(INTERVALS_MS)
        series = [counter(rng, str(n), interval_ms) for n in range(6)]
        window_ms = rng.choice([interval_ms, 2 * interval_ms, 4 * interval_ms, 60_000, 300_000, 1001])
        at = moments(rng, [one.times_ms for one in series], window_ms, 25)
        stores.append(Store(series=series))
        windows_ms.append(window_ms)
        queries.append([Query(expr, at_ms) for at_ms in at for expr in selections(window_ms)])
    answers = asked(engine, stores, queries)
    return [
        Answered(store, query, selections(window_ms)[query.expr], answer)
        for store, window_ms, asking, given in zip(stores, windows_ms, queries, answers, strict=True)
        for query, answer in zip(asking, given, strict=True)
    ]


def test_instants_rates_and_increases_are_prometheus(counters: list[Answered]) -> None:
    differences = [text for one in counters if (text := one.difference()) is not None]
    assert not differences, f"{len(differences)} of {len(counters)} answers differ; the first: {differences[0]}"
    values = [value for one in counters for value in one.answer.values()]
    assert len(values) > 20_000
    assert sum(map(math.isnan, values)) > 100
    assert sum(not one.answer for one in counters) > 500  # nothing there yet or any more


MISTAKES: dict[str, tuple[str, Any]] = {
    "gaps of up to 1.2 intervals covered": ("COVERED_INTERVALS", 1.2),
    "resets overlooked": ("pairwise", lambda values: ()),
    "ranges closed on the left and open on the right": ("bisect_right", bisect_left),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_rate_would_be_noticed(
    counters: list[Answered], mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promql, *MISTAKES[mistake])
    assert any(one.difference() for one in counters)


def test_another_lookback_would_be_noticed(counters: list[Answered], monkeypatch: pytest.MonkeyPatch) -> None:
    looks_further = partial(promql.instant, lookback_ms=promql.LOOKBACK_MS + 1)
    monkeypatch.setattr(promql, "instant", looks_further)
    assert any(one.difference() for one in counters)


Histogram = tuple[Sequence[int], Sequence[Sequence[float] | None]]


def quantile_expr(quantile: float, metric: str, window_ms: int) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (rate({metric}[{window_ms}ms])))"


def our_quantile(
    quantile: float, edges: Sequence[float], histograms: Sequence[Histogram], at_ms: int, window_ms: int
) -> float | None:
    """The same from scrapes of several processes."""
    rates = promql.bucket_rates(histograms, at_ms=at_ms, window_ms=window_ms)
    return None if rates is None else histogram_quantile(quantile, dict(zip(edges, rates, strict=True)))


def their_quantile(answer: Vector) -> float | None:
    """Prometheus' answer; where it says NaN we say that there is no data."""
    value = answer.get(frozenset(), math.nan)
    return None if math.isnan(value) else value


def test_quantiles_of_generated_histograms_are_prometheus(engine: Path) -> None:
    """Several processes with restarts, lost scrapes and ends."""
    rng = Random(f"histograms {SEED}")
    edges = (*TTFT_EDGES_S, math.inf)
    stores, queries, expected = [], [], []
    for _ in range(60):
        interval_ms = rng.choice(INTERVALS_MS)
        window_ms = rng.choice([2, 4, 10]) * interval_ms
        times = [instants(rng, interval_ms, rng.choice([2, 10, 40])) for _ in range(rng.choice([1, 2, 5]))]
        histograms = [(times_ms, rows(rng, len(TTFT_EDGES_S), len(times_ms))) for times_ms in times]
        series = [
            Given(
                labels={"__name__": "h_bucket", "instance": str(n), "le": str(edge)},
                times_ms=times_ms,
                values=[None if row is None else row[column] for row in found],
            )
            for n, (times_ms, found) in enumerate(histograms)
            for column, edge in enumerate(edges)
        ]
        wanted = [(q, at_ms) for at_ms in moments(rng, times, window_ms, 20) for q in QUANTILES]
        stores.append(Store(series=series))
        queries.append([Query(quantile_expr(q, "h_bucket", window_ms), at_ms) for q, at_ms in wanted])
        expected.append([our_quantile(q, edges, histograms, at_ms, window_ms) for q, at_ms in wanted])
    _assert_equal(queries, expected, asked(engine, stores, queries), at_least=1500)


def test_quantiles_of_odd_buckets_are_prometheus(engine: Path) -> None:
    """Torn scrapes, no +Inf, a single bucket, edges below zero, counts that differ by float noise only."""
    rng = Random(f"buckets {SEED}")
    stores, queries, expected = [], [], []
    for _ in range(1000):
        found = buckets(rng)
        series = [
            Given(labels={"__name__": "b", "le": str(edge)}, times_ms=[0], values=[count])
            for edge, count in found.items()
        ]
        wanted = (*QUANTILES, rng.random(), rng.random(), -0.1, 1.1)
        stores.append(Store(series=series))
        queries.append([Query(f"histogram_quantile({q}, b)", 0) for q in wanted])
        expected.append([histogram_quantile(q, found) for q in wanted])
    _assert_equal(queries, expected, asked(engine, stores, queries), at_least=5000)


def test_what_is_read_from_recorded_scrapes_is_prometheus(engine: Path) -> None:
    """Real expositions of workers and a gateway: Prometheus parses them itself, we by our own reader."""
    stores, queries, expected = [], [], []
    for number, interval_ms in enumerate((1_000, 15_000, 30_000)):
        scrapes = recorded(SEED + number, interval_ms=interval_ms, scrapes=40)
        window_ms = 4 * interval_ms
        rng = Random(f"recorded {SEED} {number}")
        at = moments(rng, [[scrape.at_ms for scrape in scrapes]], window_ms, 15)
        asking, ours = [], []
        for metric in ("vllm:time_to_first_token_seconds", "penstock_gateway_inter_token_latency_seconds"):
            edges, histograms = scraped_histograms(scrapes, metric)
            for q, at_ms in ((q, at_ms) for at_ms in at for q in QUANTILES):
                asking.append(Query(quantile_expr(q, f"{{__name__='{metric}_bucket'}}", window_ms), at_ms))
                ours.append(our_quantile(q, edges, histograms, at_ms, window_ms))
        for metric in ("vllm:generation_tokens_total", "penstock_gateway_requests_received_total"):
            series = scraped_totals(scrapes, metric)
            for at_ms in at:
                asking.append(Query(f"sum(rate({{__name__='{metric}'}}[{window_ms}ms]))", at_ms))
                ours.append(_sum(promql.rate(*one, at_ms=at_ms, window_ms=window_ms) for one in series))
        series = scraped_totals(scrapes, "vllm:num_requests_running")
        for at_ms in at:
            asking.append(Query("sum({__name__='vllm:num_requests_running'})", at_ms))
            ours.append(_sum(promql.instant(*one, at_ms=at_ms) for one in series))
        stores.append(Store(scrapes=scrapes))
        queries.append(asking)
        expected.append(ours)
    _assert_equal(queries, expected, asked(engine, stores, queries), at_least=300)


def scraped_histograms(scrapes: Sequence[Scraped], metric: str) -> tuple[list[float], list[Histogram]]:
    """The edges, and of each process its scrapes' instants and rows."""
    found = _by_instance(scrapes, f"{metric}_bucket", lambda scrape: scrape.buckets(metric) or None)
    edges = next(sorted(row) for _, readings in found for row in readings if row is not None)
    histograms: list[Histogram] = [
        (times_ms, [None if row is None else [row[edge] for edge in edges] for row in readings])
        for times_ms, readings in found
    ]
    return edges, histograms


def scraped_totals(scrapes: Sequence[Scraped], metric: str) -> list[tuple[list[int], list[float | None]]]:
    """Of each process that says the metric, its instants and values."""
    return _by_instance(scrapes, metric, lambda scrape: scrape.total(metric))


def _by_instance(
    scrapes: Sequence[Scraped], name: str, read: Callable[[Any], Any]
) -> list[tuple[list[int], list[Any]]]:
    """Series as Prometheus keeps them: a scrape without the series ends it with a marker, once."""
    found: dict[str, tuple[list[int], list[Any]]] = {}
    for scrape in scrapes:
        reading = None if scrape.text is None else read(parse_exposition(scrape.text, frozenset({name})))
        times_ms, readings = found.setdefault(scrape.instance, ([], []))
        if reading is not None or (readings and readings[-1] is not None):
            times_ms.append(scrape.at_ms)
            readings.append(reading)
    return [series for series in found.values() if series[0]]


def _sum(values: Any) -> float | None:
    there = [value for value in values if value is not None]
    return math.fsum(there) if there else None


def _assert_equal(
    queries: Sequence[Sequence[Query]],
    expected: Sequence[Sequence[float | None]],
    answers: Sequence[Sequence[Vector]],
    *,
    at_least: int,
) -> None:
    """All equal, and enough of them numbers."""
    cases = [
        (number, *case)
        for number, group in enumerate(zip(queries, expected, answers, strict=True))
        for case in zip(*group, strict=True)
    ]
    differences = [
        f"seed {SEED}, store {number}: {query}: ours {ours}, Prometheus {answer}"
        for number, query, ours, answer in cases
        if not close(ours, their_quantile(answer))
    ]
    assert not differences, f"{len(differences)} of {len(cases)} answers differ; the first: {differences[0]}"
    assert sum(ours is not None for _, _, ours, _ in cases) > at_least
