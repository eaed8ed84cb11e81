"""Counting and timing what passes: tokens, gaps, usage."""

import itertools
from collections.abc import Callable

import pytest
from gateway_fakes import DONE, ROLE, chunk, event, usage_event
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.meter import StreamMeter
from penstock.gateway.sse import TokenCounter
from penstock.telemetry.gateway_metrics import TOKEN_EDGES, GatewayMetrics

LAST_DELTA = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
WORDS = ["a", "\n\ndata: x", 'say "data: [DONE]"', "\\n", '"choices":[]', '"delta":{}', "é", ""]
STREAM = b"".join(map(chunk, [ROLE, *map(event, WORDS), usage_event(9, len(WORDS), 4), DONE])) + b"0\r\n\r\n"


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def test_tokens_are_counted_and_not_what_looks_like_them() -> None:
    counter = TokenCounter()
    assert counter.add(STREAM) == len(WORDS)
    assert counter.done


@given(st.lists(st.integers(0, 10**6), max_size=40))
def test_events_are_found_however_the_bytes_are_cut(cuts: list[int]) -> None:
    plain = b"".join(map(chunk, map(event, WORDS)))
    counter = TokenCounter()
    for piece in pieces(plain, cuts):
        counter.add(piece)
    assert counter.tokens == len(WORDS)


@given(st.lists(st.integers(0, 10**6), max_size=10))
def test_usage_and_done_are_found_however_the_bytes_are_cut(cuts: list[int]) -> None:
    stream = b"".join([ROLE, event("a") * 100, usage_event(9, 100, 4), DONE])
    counter = TokenCounter()
    for piece in pieces(stream, cuts):
        counter.add(piece)
    usage = counter.usage()
    assert usage is not None
    assert (usage.prompt_tokens, usage.output_tokens, usage.cached_tokens) == (9, 100, 4)
    assert counter.done


@pytest.mark.parametrize("framed", [chunk, bytes], ids=["chunked", "until close"])
@given(cuts=st.lists(st.integers(0, 10**6), max_size=10))
def test_what_is_no_token_is_told_however_the_bytes_are_cut(framed: Callable[[bytes], bytes], cuts: list[int]) -> None:
    stream = b"".join(map(framed, [ROLE, event("a"), event("b"), LAST_DELTA, usage_event(9, 2, 4), DONE]))
    for parts in (pieces(stream, cuts), map(framed, [ROLE, event("a"), event("b"), LAST_DELTA, DONE])):
        counter = TokenCounter()
        for part in parts:
            counter.add(part)
        assert counter.tokens == 2


@pytest.mark.parametrize("cut", range(1, len(ROLE)))
def test_nothing_may_be_put_into_an_event_that_has_only_begun(cut: int) -> None:
    counter = TokenCounter()
    counter.add(ROLE[:cut])
    assert counter.between_events is (cut == len(ROLE))


def test_what_is_kept_of_a_stream_is_bounded() -> None:
    counter = TokenCounter()
    for _ in range(1000):
        counter.add(event("x" * 10_000))
    assert counter.tokens == 1000
    assert sum(map(len, counter._recent)) <= 32 * 4096


class Steps:
    """A clock that a test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_ttft_counts_from_arrival_and_gaps_are_shared_by_the_tokens_of_a_read() -> None:
    clock, metrics = Steps(), GatewayMetrics(slo_ttft_s=0.5, slo_itl_s=0.05)
    firsts: list[float] = []
    meter = StreamMeter(metrics, clock, 98.0, firsts.append)
    meter.passed(chunk(ROLE))
    assert metrics.time_to_first_token.count == 0, "a role is no token"
    meter.passed(chunk(event("a")))
    clock.now_s = 100.3
    meter.passed(chunk(event("b")) + chunk(event("c")) + chunk(event("d")))
    clock.now_s = 100.9
    meter.passed(chunk(usage_event(1, 4, 0)) + chunk(DONE) + b"0\r\n\r\n")
    assert firsts == [100.0]
    assert metrics.time_to_first_token.total == pytest.approx(2.0)
    assert metrics.inter_token_latency.count == 3, "usage and [DONE] are no tokens"
    assert metrics.inter_token_latency.total == pytest.approx(0.3)


def test_histograms_have_edges_at_the_targets_and_add_up() -> None:
    metrics = GatewayMetrics(slo_ttft_s=0.333, slo_itl_s=0.0421)
    metrics.time_to_first_token.observe(0.333)
    text = metrics.exposition().decode()
    assert 'penstock_gateway_time_to_first_token_seconds_bucket{le="0.333"} 1.0' in text
    assert 'penstock_gateway_inter_token_latency_seconds_bucket{le="0.0421"}' in text
    assert "penstock_gateway_time_to_first_token_seconds_count 1.0" in text


def test_token_edges_are_fine_and_reach_a_million() -> None:
    assert TOKEN_EDGES[-1] == 2**20
    assert all(b / a < 1.26 for a, b in itertools.pairwise(TOKEN_EDGES) if a >= 8)
