"""Sweeps, request runs and published points; and files of no known schema."""

from pathlib import Path

import pytest
from rows import DECODE, PREFILL, PUBLISHED, REQUESTS, write

from penstock.calibration.points import Burst, LonePrompt, OpenLoop, SteadyDecode
from penstock.calibration.read import read_measurements
from penstock.errors import InputError


def test_a_prefill_sweep_is_a_prompt_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", PREFILL, "nvidia/Llama-3.1-8B-Instruct-FP8,h200_sxm,1,1,vllm,0.10.1.1,2134,50,s")
    (point,) = read_measurements(path).points
    assert isinstance(point.load, LonePrompt)
    assert (point.load.isl, point.ttft_s, point.tpot_s) == (2134, pytest.approx(0.05), None)
    assert point.serving.precision == "fp8"


def test_a_decode_sweep_is_a_batch_whose_prompts_were_cached_or_not(tmp_path: Path) -> None:
    """Not on the 70B model: there a burst of prompts of the context less half of the 500 tokens of output."""
    path = write(
        tmp_path / "d.csv",
        DECODE,
        "nvidia/Llama-3.1-8B-Instruct-FP8,h200_sxm,1,1,vllm,0.10.1.1,945029,0.15,2997.0,49.0,9.9,s",
        "nvidia/Llama-3.3-70B-Instruct-FP8,h100_sxm,8,1,vllm,0.10.1.1,224133,0.07,350.0,47.0,12.8,s",
        "nvidia/Llama-3.1-8B-Instruct-FP8,h200_sxm,1,1,vllm,0.10.1.1,945029,0.4,350.0,1049.0,46.6,s",
    )
    found = read_measurements(path)
    cached, computed = found.points
    assert cached.load == SteadyDecode(sequences=49, context=2997)
    assert isinstance(computed.load, Burst)
    assert (computed.load.sequences, computed.load.isl, computed.load.osl) == (47, 100, 500)
    assert "1049 sequences" in found.skipped[0].why


def test_the_requests_of_a_run_become_one_point(tmp_path: Path) -> None:
    """In order of arrival; means are compared, single requests kept for the fit."""
    run = "RTXPRO6000/Qwen3-32B,Qwen/Qwen3-32B,RTXPRO6000,2,1,128,2048,0.19.0"
    path = write(
        tmp_path / "r.csv",
        REQUESTS,
        f"{run},b,200,20,1.5,0.1,0.6,0.06,2,s",
        f"{run},a,100,10,0.0,0.1,0.4,0.04,2,s",
    )
    (point,) = read_measurements(path).points
    assert isinstance(point.load, OpenLoop)
    assert point.load.arrivals == ((0.0, 100, 10), (1.5, 200, 20))
    assert (point.load.ttft_s, point.load.at_engine) == ((0.4, 0.6), True)
    assert (point.load.limits.max_num_seqs, point.load.limits.max_num_batched_tokens) == (128, 2048)
    assert (point.ttft_s, point.tpot_s) == (pytest.approx(0.5), pytest.approx(0.05))


def test_a_negative_arrival_is_refused_by_line(tmp_path: Path) -> None:
    row = "R,Qwen/Qwen3-32B,RTXPRO6000,2,1,128,2048,0.19.0,a,100,10,-3.0,0.1,0.4,0.04,2,s"
    with pytest.raises(InputError, match=r"r.csv:2: arrival_offset_s: -3 will not do"):
        read_measurements(write(tmp_path / "r.csv", REQUESTS, row))


def test_a_published_rate_becomes_poisson_arrivals(tmp_path: Path) -> None:
    """The same ones every time; at an infinite rate all at once; a row without figures is skipped."""
    head = "Qwen/Qwen3-0.6B,H100 80GB HBM3,TP1,bf16,vLLM,0.19.0,512,128"
    note = "gpu_memory_utilization 0.5"
    path = write(
        tmp_path / "m.csv",
        PUBLISHED,
        f'{head},"rate=16 req/s, 500 prompts, mean",15.9,38.9,2.4,{note},s',
        f'{head},"rate=inf, 500 prompts, mean",94.9,2905,5.5,{note},s',
        f"{head},constant 36 RPS,,,,,s",
    )
    found = read_measurements(path)
    paced, at_once = (point.load for point in found.points)
    assert isinstance(paced, OpenLoop)
    assert isinstance(at_once, OpenLoop)
    assert len(paced.arrivals) / paced.arrivals[-1][0] == pytest.approx(16, rel=0.1)
    assert {at for at, _isl, _osl in at_once.arrivals} == {0.0}
    assert paced.limits.memory_share == 0.5
    assert len(found.skipped) == 1
    assert read_measurements(path) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"x.csv:1: no known schema has these columns: none"),
        (b"a,b\n1,2\n", r"no known schema has these columns: a, b"),
        (b"\xff\xfe\x00", r"cannot be read \(not UTF-8 text\)"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_measurements(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.csv: cannot be read"):
        read_measurements(tmp_path / "none.csv")
