"""The table of closed loops: what each row was measured on and how, and which rows are not replayed, and why."""

from pathlib import Path

import pytest
from rows import INFERENCEX, SILICON, silicon_row, write

from penstock.calibration.points import ClosedLoop, Measurements, Point
from penstock.calibration.read import read_measurements
from penstock.errors import InputError


def read(tmp_path: Path, *rows: str) -> Measurements:
    return read_measurements(write(tmp_path / "silicon.csv", SILICON, *rows))


def only(found: Measurements) -> Point:
    assert found.skipped == ()
    (point,) = found.points
    return point


def test_a_row_becomes_a_closed_loop_of_ten_requests_a_user(tmp_path: Path) -> None:
    """Milliseconds become seconds; no precision means 16 bits; the budget is vLLM's default."""
    point = only(read(tmp_path, silicon_row()))
    assert point.load == ClosedLoop(users=8, requests=80, isl=1024, osl=128, spread=0.05, limits=point.load.limits)
    assert point.load.limits.max_num_batched_tokens == 8192
    assert (point.ttft_s, point.tpot_s) == (pytest.approx(0.1), pytest.approx(0.01))
    assert (point.serving.precision, point.serving.version) == ("bf16", "0.12.0")
    assert point.campaign == ("meta-llama/Llama-3.1-8B", "H100 SXM", "vllm")


@pytest.mark.parametrize(
    ("changes", "spread", "budget"),
    [
        ({"source": INFERENCEX}, 0.2, 8192),
        ({"backend": "sglang"}, 0.0, 16_384),
        ({"backend": "sglang", "isl": 1000}, 0.05, 16_384),
        ({"backend": "trtllm"}, 0.05, 8192),
        ({"backend": "sglang", "model_path": "deepseek-ai/DeepSeek-R1", "source": INFERENCEX}, 0.2, 32_768),
        ({"backend": "trtllm", "model_path": "openai/gpt-oss-120b", "source": INFERENCEX}, 0.2, 20_000),
    ],
)
def test_the_harness_says_what_the_row_does_not(
    tmp_path: Path, changes: dict[str, object], spread: float, budget: int
) -> None:
    load = only(read(tmp_path, silicon_row(**changes))).load
    assert isinstance(load, ClosedLoop)
    assert (load.spread, load.limits.max_num_batched_tokens) == (spread, budget)


@pytest.mark.parametrize(
    ("tp", "dp", "moe_tp", "moe_ep", "source", "gpus", "expert_parallel"),
    [
        (8, "", 1, 8, "source_file=gap/x.csv", 8, True),
        (4, "", 2, 2, "source_file=gap/x.csv", 4, True),
        (8, 1, 8, 1, INFERENCEX, 8, False),
        (64, 1, 8, 8, INFERENCEX, 8, True),  # tp_size means tp x ep
        (4, 1, 2, 2, INFERENCEX, 2, True),
        (4, 4, 1, 16, INFERENCEX, 4, True),  # attention_dp_size repeats tp_size
        (1, "", 0, 0, "source_file=gap/x.csv", 1, False),
    ],
)
def test_the_cut_is_read_where_columns_mean_something_else(
    tmp_path: Path, tp: int, dp: object, moe_tp: int, moe_ep: int, source: str, gpus: int, expert_parallel: bool
) -> None:
    changes = {"tp_size": tp, "attention_dp_size": dp, "moe_tp_size": moe_tp, "moe_ep_size": moe_ep, "source": source}
    serving = only(read(tmp_path, silicon_row(**changes))).serving
    assert (serving.gpus, serving.expert_parallel) == (gpus, expert_parallel)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"mode": "disagg"}, "prefill and decode apart"),
        ({"concurrency": ""}, "concurrency is not stated"),
        ({"attention_dp_size": 8, "moe_ep_size": 8, "tp_size": 1}, "8 attention ranks in lock step"),
        ({"pp_size": 2}, "pipeline parallelism"),
        ({"model_path": "acme/Rocket-1B"}, "unknown model 'acme/Rocket-1B'"),
        ({"system": "tpu_v5"}, "unknown GPU 'tpu_v5'"),
        ({"backend": "llamacpp"}, "unknown engine 'llamacpp'; known are vllm, sglang, trtllm"),
        ({"precision": "int3"}, "precision 'int3'"),
        ({"backend": "sglang", "isl": 1000, "concurrency": 448}, "bound by its client"),
    ],
)
def test_what_cannot_be_replayed_is_skipped_with_its_reason(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    found = read(tmp_path, silicon_row(), silicon_row(id="odd", **changes))
    (skipped,) = found.skipped
    assert len(found.points) == 1
    assert skipped.id == "odd"
    assert why in skipped.why


def test_an_exact_copy_under_another_name_counts_once(tmp_path: Path) -> None:
    """Also when its last digits were lost; not when it is another measurement."""
    found = read(
        tmp_path,
        silicon_row(id="a", silicon_ttft_ms=103.62330436498832),
        silicon_row(id="b", silicon_ttft_ms=103.62330436),
        silicon_row(id="c", silicon_ttft_ms=104.0),
    )
    assert [point.id for point in found.points] == ["a", "c"]
    assert [(skipped.id, skipped.why) for skipped in found.skipped] == [("b", "an exact copy of a")]


def test_a_row_that_decodes_far_faster_with_more_users_is_not_believed(tmp_path: Path) -> None:
    """Somewhat faster may be noise, and stays."""
    found = read(
        tmp_path,
        silicon_row(id="few", concurrency=8, silicon_tpot_ms=10),
        silicon_row(id="noise", concurrency=16, silicon_tpot_ms=9),
        silicon_row(id="wrong", concurrency=64, silicon_tpot_ms=4),
    )
    assert [point.id for point in found.points] == ["few", "noise"]
    assert found.skipped[0].why == "contradicts noise: a shorter TPOT at 64 users than at 16"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"silicon_ttft_ms": "fast"}, r"silicon.csv:3: silicon_ttft_ms: 'fast' is no number"),
        ({"silicon_tpot_ms": "nan"}, r"silicon.csv:3: silicon_tpot_ms: nan is no measurement"),
        ({"silicon_tpot_ms": -1}, r"silicon_tpot_ms: -1 will not do"),
        ({"isl": 0}, r"isl: 0 will not do"),
        ({"osl": 1.5}, r"osl: 1.5 is no count"),
        ({"concurrency": 1e12}, r"concurrency: 1e\+12 is no count"),
    ],
)
def test_a_field_that_is_no_measurement_stops_the_reading(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    """By file, line and field."""
    with pytest.raises(InputError, match=message):
        read(tmp_path, silicon_row(), silicon_row(id="odd", **changes))


def test_a_line_that_was_cut_off_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"silicon.csv:2: \w+: is missing"):
        read(tmp_path, silicon_row()[:60])
