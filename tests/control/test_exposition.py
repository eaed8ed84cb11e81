"""Prometheus text at the edge: what can be used comes through, garbage is left out and never becomes 0."""

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from penstock.control.exposition import parse_exposition

WANTED = frozenset({"load", "hits_total", "ttft_seconds_bucket", "ttft_seconds_sum"})


def test_what_prometheus_client_writes_is_read_back() -> None:
    registry = CollectorRegistry()
    Gauge("load", "", registry=registry).set(2.5)
    hits = Counter("hits", "", ["pool"], registry=registry)
    hits.labels('a "quoted" {name}').inc(3)
    hits.labels("b\\c").inc(4)
    hits.labels("C:\\new\n\u2028").inc(5)
    ttft = Histogram("ttft_seconds", "", buckets=(0.1, 0.5), registry=registry)
    for value in (0.05, 0.3, 9.0):
        ttft.observe(value)
    scrape = parse_exposition(generate_latest(registry).decode(), WANTED)
    assert scrape.total("load") == 2.5
    assert scrape.total("hits_total") == 12
    assert scrape.by("hits_total", "pool") == {'a "quoted" {name}': 3, "b\\c": 4, "C:\\new\n\u2028": 5}
    assert scrape.buckets("ttft_seconds") == {0.1: 1, 0.5: 2, math.inf: 3}


def test_other_names_are_dropped() -> None:
    assert parse_exposition("loaded 1\nloa 2\n", WANTED).series == ()


def test_nan_infinity_and_garbage_are_absent_not_zero() -> None:
    for bad in ("load NaN", "load +Inf", "load", "load {", "load{a=} 1 2 3 4", "load one", 'load{a="b" 1'):
        assert parse_exposition(bad, WANTED).total("load") is None, bad


def test_a_good_line_survives_bad_ones_around_it() -> None:
    assert parse_exposition("load NaN\n\x00\nload 4 1700000000000\n# load 9\nload{", WANTED).total("load") == 4


@given(st.text(alphabet=st.sampled_from('load{}="\\,e+-. 0123456789NaIf\n\x85'), max_size=200))
def test_no_text_makes_it_raise_or_yield_what_is_not_finite(text: str) -> None:
    for series in parse_exposition(text, WANTED).series:
        assert math.isfinite(series.value)
