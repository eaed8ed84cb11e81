"""What other stacks count, read by the names that our views know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.control import gateway_view as gateway
from penstock.control import worker_view as worker
from penstock.control.exposition import Scrape, Series, parse_exposition
from penstock.control.gateway_view import GatewayView
from penstock.control.stacks import DYNAMO_FRONTEND, DYNAMO_WORKER, SGLANG, VLLM, Names, Translator
from penstock.control.summed_scrapes import SummedScrapes
from penstock.messages.observation import Signal
from penstock.messages.spec import SloSpec

STACKS = {"vllm": VLLM, "sglang": SGLANG, "frontend": DYNAMO_FRONTEND, "worker": DYNAMO_WORKER}
SLO = SloSpec(ttft_s=0.5, itl_s=0.05)


def histogram(name: str, *, below: float, count: int, total: float) -> str:
    """All observations in one bucket."""
    return "\n".join(
        (
            f'{name}_bucket{{le="{below / 2}"}} 0',
            f'{name}_bucket{{le="{below}"}} {count}',
            f'{name}_bucket{{le="+Inf"}} {count}',
            f"{name}_sum {total}",
            f"{name}_count {count}",
        )
    )


def ours(names: Names, text: str) -> Scrape:
    return Translator(names).ours(parse_exposition(text, names.wanted))


def signals(names: Names, *texts: str) -> dict[Signal, float]:
    """What a pool is told after scrapes a second apart."""
    view, one = GatewayView(SLO), Translator(names)
    for at_s, text in enumerate(texts):
        view.read(float(at_s), one.ours(parse_exposition(text, names.wanted)))
    return {signal: sample.value for signal, sample in view.signals(float(len(texts) - 1), 5.0).items()}


def vllm(ended: int, running: int, waiting: int) -> str:
    return "\n".join(
        (
            f'vllm:request_success_total{{finished_reason="stop"}} {ended}',
            'vllm:request_success_total{finished_reason="length"} 0',
            f"vllm:num_requests_running {running}",
            f"vllm:num_requests_waiting {waiting}",
            f"vllm:prompt_tokens_total {300 * ended}",
            f"vllm:prefix_cache_queries_total {300 * ended}",
            f"vllm:prefix_cache_hits_total {30 * ended}",
            f"vllm:generation_tokens_total {20 * ended}",
            "vllm:kv_cache_usage_perc 0.25",
            histogram("vllm:request_prompt_tokens", below=500, count=ended, total=300 * ended),
            histogram("vllm:request_generation_tokens", below=50, count=ended, total=20 * ended),
            histogram("vllm:time_to_first_token_seconds", below=0.5, count=ended, total=0.3 * ended),
            histogram("vllm:inter_token_latency_seconds", below=0.05, count=20 * ended, total=0.6 * ended),
        )
    )


def test_vllm_tells_demand_lengths_latencies_and_hits() -> None:
    """Six requests came in two seconds: three ended, one runs, two wait."""
    found = signals(VLLM, vllm(10, 0, 0), vllm(11, 2, 0), vllm(13, 1, 2))
    assert found[Signal.DEMAND] == pytest.approx(3.0)
    assert found[Signal.ISL] == pytest.approx(300)
    assert found[Signal.OSL] == pytest.approx(20)
    assert 250 < found[Signal.ISL_P95] <= 500
    assert 0.25 < found[Signal.TTFT] <= 0.5
    assert 0.025 < found[Signal.ITL] <= 0.05
    assert found[Signal.HIT_RATIO] == pytest.approx(0.1)
    scrape = ours(VLLM, vllm(13, 1, 2))
    assert (scrape.total(worker.RUNNING), scrape.total(worker.WAITING)) == (1, 2)
    assert scrape.total(worker.KV_USAGE) == 0.25


def test_sglang_tells_mean_lengths_and_no_spread() -> None:
    def said(ended: int, running: int) -> str:
        return "\n".join(
            (
                f"sglang:num_requests_total {ended}",
                f"sglang:num_running_reqs {running}",
                "sglang:num_queue_reqs 0",
                "sglang:token_usage 0.5",
                f"sglang:prompt_tokens_total {400 * ended}",
                f"sglang:cached_tokens_total {100 * ended}",
                f"sglang:generation_tokens_total {50 * ended}",
                histogram("sglang:time_to_first_token_seconds", below=0.4, count=ended, total=0.2 * ended),
            )
        )

    found = signals(SGLANG, said(5, 1), said(7, 3))
    assert found[Signal.DEMAND] == pytest.approx(4.0)
    assert (found[Signal.ISL], found[Signal.OSL]) == (pytest.approx(400), pytest.approx(50))
    assert Signal.ISL_P95 not in found
    assert found[Signal.HIT_RATIO] == pytest.approx(0.25)
    scrape = ours(SGLANG, said(7, 3))
    assert (scrape.total(worker.RUNNING), scrape.total(worker.KV_USAGE)) == (3, 0.5)


def test_dynamo_tells_demand_by_its_frontends_and_the_rest_by_its_workers() -> None:
    def said(started: int) -> str:
        frontend = "dynamo_frontend"
        return "\n".join(
            (
                f'{frontend}_requests_started_total{{model="m"}} {started}',
                f"{frontend}_router_queue_pending_requests 3",
                histogram(f"{frontend}_input_sequence_tokens", below=500, count=started, total=200 * started),
                histogram(f"{frontend}_cached_tokens", below=500, count=started, total=50 * started),
                histogram(f"{frontend}_output_sequence_tokens", below=50, count=started, total=10 * started),
                histogram(f"{frontend}_time_to_first_token_seconds", below=0.4, count=started, total=0.2 * started),
            )
        )

    found = signals(DYNAMO_FRONTEND, said(5), said(10))
    assert found[Signal.DEMAND] == pytest.approx(5.0)
    assert (found[Signal.ISL], found[Signal.OSL], found[Signal.HELD]) == (pytest.approx(200), pytest.approx(10), 3)
    assert found[Signal.HIT_RATIO] == pytest.approx(0.25)
    alone = ours(DYNAMO_WORKER, "dynamo_component_gpu_cache_usage_percent 0.4")
    assert alone.total(worker.KV_USAGE) == 0.4
    engine = "vllm:kv_cache_usage_perc 0.3\nvllm:num_requests_running 2\nvllm:num_requests_waiting 1"
    both = ours(DYNAMO_WORKER, f"dynamo_component_gpu_cache_usage_percent 0.4\n{engine}")
    assert both.total(worker.KV_USAGE) == 0.3, "the engine's own word, once"
    assert (both.total(worker.RUNNING), both.total(worker.WAITING)) == (2, 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=30))
def test_arrivals_fall_only_when_a_process_began_anew(steps: list[tuple[int, int, int, bool]]) -> None:
    """However the figures of one scrape lag behind each other; and they are never fewer than those that ended."""
    one, ended, before, last_ended = Translator(VLLM), 0, 0.0, 0
    for more, running, waiting, anew in steps:
        ended = more if anew else ended + more
        arrived = one.ours(parse_exposition(vllm(ended, running, waiting), VLLM.wanted)).total(gateway.RECEIVED)
        assert arrived is not None
        assert arrived >= ended
        assert arrived >= before or ended < last_ended
        before, last_ended = arrived, ended


def test_what_was_not_said_is_not_zero() -> None:
    """No answer, a cut-off one, and gauges without a counter."""
    assert ours(VLLM, "") == Scrape()
    assert ours(VLLM, "vllm:request_success_total 5").total(gateway.RECEIVED) is None
    first = ours(VLLM, "vllm:num_requests_running 1\nvllm:num_requests_waiting 0")
    assert first.total(gateway.RECEIVED) == 1, "no request has ended yet, so its counter is not there yet"


@pytest.mark.parametrize("stack", STACKS)
def test_only_names_that_our_views_know_come_out(stack: str) -> None:
    known = gateway.WANTED | worker.WANTED
    every = Scrape(tuple(Series(name=name, labels={}, value=1.0) for name in STACKS[stack].wanted))
    said = Translator(STACKS[stack]).ours(every)
    assert said.series
    assert {series.name for series in said.series} <= known


def test_several_pods_count_as_one_over_their_comings_and_goings() -> None:
    """One that goes takes nothing back, and one that comes adds what it counted."""
    summed = SummedScrapes(gateway.RECEIVED)
    first, second = Translator(VLLM), Translator(VLLM)
    summed.take("a", first.ours(parse_exposition(vllm(10, 1, 0), VLLM.wanted)))
    summed.take("b", second.ours(parse_exposition(vllm(4, 0, 0), VLLM.wanted)))
    assert summed.together().total(gateway.RECEIVED) == 15
    summed.only(["b"])
    assert summed.together().total(gateway.RECEIVED) == 15
