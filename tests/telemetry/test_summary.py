"""The result document: counts, latencies, windows, as interfaces.md defines them."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import InputError
from penstock.messages.outcome import Ending, RequestOutcome
from penstock.messages.result import GpuHours
from penstock.messages.spec import SloSpec
from penstock.telemetry.requests_file import outcome_from_line, outcome_to_line, read_requests, write_requests
from penstock.telemetry.summary import Summary, result_to_json, summarize

SLO = SloSpec(ttft_s=0.5, itl_s=0.05, percentile=95, window_s=60)


def served(
    at_s: float, *, ttft_s: float = 0.2, itl_s: tuple[tuple[float, int], ...] = ((0.02, 9),), name: str = "r"
) -> RequestOutcome:
    gaps = sum(tokens for _, tokens in itl_s)
    return RequestOutcome(
        id=name,
        intended_s=at_s,
        sent_s=at_s,
        ending=Ending.COMPLETED,
        status=200,
        ttft_s=ttft_s,
        e2e_s=ttft_s + sum(gap * tokens for gap, tokens in itl_s),
        itl_s=itl_s,
        prompt_tokens=100,
        prompt_cached_tokens=40,
        output_tokens=1 + gaps,
    )


def refused(at_s: float) -> RequestOutcome:
    return RequestOutcome(id="x", intended_s=at_s, sent_s=at_s, ending=Ending.REJECTED, status=503, error="overloaded")


def test_offered_is_the_sum_of_endings() -> None:
    """One of each kind makes three; tokens are of the completed one."""
    broken = RequestOutcome(id="f", intended_s=2, sent_s=2, ending=Ending.FAILED, status=0, ttft_s=0.1, output_tokens=3)
    result = summarize([served(0), refused(1), broken], SLO, wall_s=2.0)
    assert (result.requests.offered, result.requests.completed) == (3, 1)
    assert (result.requests.rejected, result.requests.failed) == (1, 1)
    assert (result.tokens.prompt, result.tokens.prompt_cached, result.tokens.output) == (100, 40, 10)
    assert result.requests_per_wall_s == 1.5


def test_itl_is_over_tokens_not_over_runs() -> None:
    """Ninety-six quick gaps in one run outweigh four slow runs of one: the p95 is quick."""
    slow = tuple((0.2 + each / 100, 1) for each in range(4))
    result = summarize([served(0, itl_s=((0.02, 96), *slow))], SLO)
    assert result.itl_s.p95 == 0.02
    assert result.itl_s.p99 == 0.22


def test_a_window_is_met_at_exactly_its_percentile() -> None:
    """Of 100 requests five may be late; the sixth makes the window missed."""
    five = [served(0, ttft_s=0.9 if each < 5 else 0.5) for each in range(100)]
    six = [served(0, ttft_s=0.9 if each < 6 else 0.5) for each in range(100)]
    assert _windows(five) == (1, 1)
    assert _windows(six) == (1, 0)


def test_a_refused_request_counts_as_missed() -> None:
    """Ninety-four served well and six refused: nobody may call that within target."""
    assert _windows([served(0)] * 95 + [refused(0)] * 5) == (1, 1)
    assert _windows([served(0)] * 94 + [refused(0)] * 6) == (1, 0)


def test_a_window_of_only_refused_requests_is_missed() -> None:
    """No token at all must not read as no late token."""
    assert _windows([refused(10)]) == (1, 0)


def test_slow_tokens_miss_a_window_too() -> None:
    """TTFT is fine, but six of a hundred gaps are above the target."""
    assert _windows([served(0, itl_s=((0.02, 94), (0.06, 6)))]) == (1, 0)
    assert _windows([served(0, itl_s=((0.02, 95), (0.06, 5)))]) == (1, 1)


def test_windows_go_by_intended_arrival_and_empty_ones_do_not_count() -> None:
    """Sent late, finished late: it still belongs to the minute in which it was meant. Minute 1 had none."""
    late = RequestOutcome(
        id="l", intended_s=59.9, sent_s=130.0, ending=Ending.COMPLETED, status=200, ttft_s=71.0, e2e_s=72.0
    )
    summary = Summary(SLO)
    for outcome in (late, served(125.0)):
        summary.add(outcome)
    assert [(window.start_s, window.met(SLO)) for window in summary.windows] == [(0.0, False), (120.0, True)]
    slo = summary.result().slo
    assert slo is not None
    assert (slo.windows, slo.windows_met, slo.attainment) == (2, 1, 0.5)


def test_requests_met_asks_each_request_for_both_targets() -> None:
    """One good, one late first token, one with slow tokens, one refused: a quarter."""
    result = summarize([served(0), served(0, ttft_s=0.6), served(0, itl_s=((0.06, 9),)), refused(0)], SLO)
    assert result.slo is not None
    assert result.slo.requests_met == 0.25


def test_parts_that_nobody_knew_are_left_out() -> None:
    """`load` knows no GPUs: their keys are absent; a p95 of nothing is null."""
    document = result_to_json(summarize([], None))
    assert set(document) == {"requests", "ttft_s", "itl_s", "e2e_s", "tokens", "wall_s", "requests_per_wall_s"}
    assert document["ttft_s"] == {"mean": None, "p50": None, "p95": None, "p99": None}


def test_the_document_of_a_deployment_has_every_part() -> None:
    """Names and shapes as interfaces.md shows them."""
    summary = Summary(SLO)
    summary.add(served(0))
    hours = GpuHours(total=1.0, serving=0.8, starting=0.1, warm=0.0, draining=0.1)
    document = result_to_json(
        summary.result(gpu_hours=hours, cost_usd=6.98, replicas={"worker": ((0.0, 1, 0), (8.0, 1, 1))}, scale_events=2)
    )
    by_state = {"serving": 0.8, "starting": 0.1, "warm": 0.0, "draining": 0.1, "idle": 0.0}
    assert document["gpu_hours"] == {"total": 1.0, **by_state}
    assert document["replicas"] == {"worker": [[0.0, 1, 0], [8.0, 1, 1]]}
    assert (document["cost_usd"], document["scale_events"]) == (6.98, 2)
    assert list(document["slo"]) == [
        "ttft_s", "itl_s", "percentile", "window_s", "windows", "windows_met", "attainment", "requests_met",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", [11, 12])
def test_counting_windows_equals_sorting_their_values(seed: int) -> None:
    """Random windows: met by counting must equal met by taking the percentile of sorted values."""
    generator = random.Random(seed)
    summary = Summary(SLO, window_latencies=True)
    for _ in range(3_000):
        summary.add(served(generator.uniform(0, 2_000), ttft_s=generator.lognormvariate(-1.6, 0.55)))
    verdicts = [window.met(SLO) for window in summary.windows]
    for window, met in zip(summary.windows, verdicts, strict=True):
        assert window.ttft is not None
        p95 = window.ttft.percentile(95)
        assert p95 is not None
        assert met == (p95 <= SLO.ttft_s)
    assert 0 < sum(verdicts) < len(verdicts)


def test_requests_survive_the_file(tmp_path: Path) -> None:
    """What was written is what is read, as a stream."""
    outcomes = [served(1.5, name="a"), refused(2.0)]
    assert write_requests(tmp_path / "requests.jsonl", iter(outcomes)) == 2
    read = read_requests(tmp_path / "requests.jsonl")
    assert isinstance(read, Iterator)
    assert list(read) == outcomes


def test_a_line_cut_short_by_a_kill_ends_the_file(tmp_path: Path) -> None:
    """Everything before it still counts."""
    path = tmp_path / "requests.jsonl"
    path.write_bytes(outcome_to_line(served(1.0)) + outcome_to_line(served(2.0))[:-20])
    assert len(list(read_requests(path))) == 1


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    """Line 2 of the file, with what is wrong."""
    path = tmp_path / "requests.jsonl"
    path.write_bytes(outcome_to_line(served(1.0)) + b'{"id": "y"}\n')
    with pytest.raises(InputError, match="line 2"):
        list(read_requests(path))


def test_fields_of_later_versions_are_ignored() -> None:
    """An older reader still reads a newer file."""
    line = outcome_to_line(refused(3.0)).replace(b'"id"', b'"priority":7,"id"')
    assert outcome_from_line(line) == refused(3.0)


def _windows(outcomes: list[RequestOutcome]) -> tuple[int, int]:
    slo = summarize(outcomes, SLO).slo
    assert slo is not None
    return slo.windows, slo.windows_met
