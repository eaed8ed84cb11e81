"""`penstock profile`: one document on stdout, exit codes, and one line for every mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEADER = (
    "id,model_path,system,backend,backend_version,precision,gemm_quant_mode,mode,isl,osl,concurrency,tp_size,pp_size,"
    "attention_dp_size,moe_tp_size,moe_ep_size,silicon_ttft_ms,silicon_tpot_ms,source"
)


@pytest.fixture
def measurements(tmp_path: Path) -> Path:
    """Made-up rows near what is predicted; one that cannot be replayed, and one whose KV pool is full."""
    rows = [HEADER]
    for isl, users, ttft, tpot in ((1024, 4, 60, 8), (1024, 16, 120, 11), (4096, 4, 150, 9), (4096, 16, 400, 18)):
        rows.append(f"r{isl}_{users},Qwen/Qwen3-8B,h100_sxm,vllm,0.9,,,agg,{isl},128,{users},1,1,,1,1,{ttft},{tpot},s")
    rows.append("full,Qwen/Qwen3-8B,h100_sxm,vllm,0.9,,,agg,8192,1024,256,1,1,,1,1,90000,60,s")
    rows.append("far,acme/Rocket-1B,h100_sxm,vllm,0.9,,,agg,1024,128,4,1,1,,1,1,60,8,s")
    path = tmp_path / "measured.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def penstock(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock.cli.program", "profile", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_check_answers_with_one_document(measurements: Path) -> None:
    """Every point with prediction and measurement in seconds; what was skipped; errors of what is not saturated."""
    done = penstock("check", measurements, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [point["id"] for point in document["points"]] == ["r1024_4", "r1024_16", "r4096_4", "r4096_16", "full"]
    assert [point["saturated"] for point in document["points"]] == [False] * 4 + [True]
    assert document["skipped"][0]["id"] == "far"
    assert "acme/Rocket-1B" in document["skipped"][0]["why"]
    counted = document["points"][:4]
    for name in ("ttft", "tpot"):
        off = [abs(each[f"predicted_{name}_s"] / each[f"measured_{name}_s"] - 1) for each in counted]
        assert document[f"{name}_mape"] == pytest.approx(sum(off) / 4)
    assert counted[0]["measured_tpot_s"] == pytest.approx(0.008)
    assert document["campaigns"][0]["calibrated"] is False


def test_a_fitted_profile_is_better_on_what_it_was_fitted_to(measurements: Path, tmp_path: Path) -> None:
    """`fit` writes a file that `check` and `show` take."""
    out = tmp_path / "mine.json"
    assert penstock("fit", measurements, "--out", out).returncode == 0
    before = json.loads(penstock("check", measurements, "--json").stdout)
    after = json.loads(penstock("check", measurements, "--profile", out, "--json").stdout)
    assert after["tpot_mape"] < before["tpot_mape"]
    assert "Qwen3-8B, H100 SXM, vllm" in penstock("show", "--profile", out).stdout


def test_check_tells_a_human_by_campaign(measurements: Path) -> None:
    done = penstock("check", measurements)
    assert done.returncode == 0
    assert "Qwen3-8B, H100 SXM, vllm" in done.stdout
    assert "Not replayed: 1" in done.stdout


def test_show_predicts_lines_for_a_deployment_file() -> None:
    """In the spelling of the file, with the errors to expect."""
    done = penstock("show", "--model", "Qwen/Qwen3-8B", "--gpu", "L40S")
    assert done.returncode == 0
    assert "    baseSeconds: 0.0" in done.stdout
    assert "  kvBlocks: " in done.stdout
    assert "not calibrated for them" in done.stdout
    document = json.loads(penstock("show", "--model", "Qwen/Qwen3-8B", "--gpu", "L40S", "--json").stdout)
    assert document["confidence"]["calibrated"] is False
    assert document["step_time"]["base_s"] == pytest.approx(document["coefficients"]["step_s"])


def test_show_reads_a_config_json(tmp_path: Path) -> None:
    config = {
        "hidden_size": 1024,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 3072,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    mine = json.loads(penstock("show", "--model", tmp_path, "--gpu", "A100", "--json").stdout)
    known = json.loads(penstock("show", "--model", "Qwen/Qwen3-0.6B", "--gpu", "A100", "--json").stdout)
    assert mine["coefficients"] == known["coefficients"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["show", "--profile", "nowhere.json"], "--profile nowhere.json: cannot be read"),
        (["show", "--model", "Qwen/Qwen3-8C"], "nearest known: Qwen/Qwen3-8B"),
        (["show", "--model", "Qwen/Qwen3-8B", "--gpu", "H1000"], "--gpu: unknown GPU 'H1000'"),
        (["show", "--model", "DeepSeek-V3", "--precision", "fp8"], "does not fit, by"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = penstock(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_without_scipy_everything_works_but_the_fit(measurements: Path, tmp_path: Path) -> None:
    """Which says how to install it."""
    program = (
        "import sys; sys.modules['scipy'] = sys.modules['numpy'] = None; "
        "from penstock.cli.main import main; main(sys.argv[1:])"
    )

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, "profile", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("check", measurements, "--json").returncode == 0
    done = run("fit", measurements, "--out", tmp_path / "mine.json")
    assert done.returncode == 2
    assert "pip install 'penstock[fit]'" in done.stderr
    assert not (tmp_path / "mine.json").exists()
