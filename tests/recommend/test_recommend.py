"""`penstock recommend`: what cannot be is told why, the rest is priced in whole VMs, the cheapest that holds wins."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.main import main
from penstock.cli.output import read_spec
from penstock.hardware.gpus import gpu
from penstock.hardware.models import known_model
from penstock.hardware.profile import shipped_profile
from penstock.hardware.vm_sizes import VM_SIZES
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.spec import SloSpec
from penstock.recommend.demand import Demand, demand_of
from penstock.recommend.estimate import estimate
from penstock.recommend.option import Cut
from penstock.recommend.options import all_cuts
from penstock.recommend.question import Question
from penstock.recommend.search import _fewest, search
from penstock.simulator.workload_source import WorkloadSource
from penstock.workload.arrival import Arrival

SOURCE = WorkloadSource(trace="azure-code-excerpt", duration_s=90)
NC24, NC96 = VM_SIZES["Standard_NC24ads_A100_v4"], VM_SIZES["Standard_NC96ads_A100_v4"]


def question(model: str = "Qwen/Qwen3-0.6B", *, ttft_s: float = 1.0, itl_s: float = 0.05, **more: Any) -> Question:
    return Question(
        **{
            "model": model,
            "shape": known_model(model),
            "profile": shipped_profile(),
            "engine": EngineSpec(type="vllm", profile="shipped"),
            "slo": SloSpec(ttft_s=ttft_s, itl_s=itl_s),
            "source": SOURCE,
            "sizes": tuple(VM_SIZES.values()),
            **more,
        }
    )


@pytest.fixture(scope="module")
def demand() -> Demand:
    return demand_of(SOURCE.arrivals(), percentile=95)


def cut(name: str, gpus: int, asked: Question) -> Cut:
    return next(each for each in all_cuts(asked) if each.gpu.name == name and each.gpus == gpus)


def why(asked: Question, demand: Demand, name: str, gpus: int) -> str | None:
    return estimate(asked, demand, cut(name, gpus, asked))[0].why_not


def test_demand_is_that_of_the_trace() -> None:
    """Means, percentiles, the longest request, and the worst burst against the wait that is allowed."""
    arrivals = [Arrival(float(second), 100, 10, (), 16) for second in range(100)]
    arrivals += [Arrival(50.5, 900, 20, (), 16)] * 19
    found = demand_of(sorted(arrivals, key=lambda arrival: arrival.arrival_s), percentile=95)
    assert found.longest == 920
    assert found.prompt_tokens == 900
    assert found.mix.isl == pytest.approx((100 * 100 + 19 * 900) / 119)
    assert found.burst_per_s(1.0) == pytest.approx(20 / 2)
    assert found.burst_per_s(9.0) == pytest.approx(20 / 10)


def test_what_cannot_be_is_told_why(demand: Demand) -> None:
    """Memory by how many GiB, then TTFT and ITL of an idle engine, then a vendor of whom nothing was measured."""
    large = question("meta-llama/Llama-3.3-70B-Instruct", ttft_s=3.0, itl_s=0.1)
    assert "does not fit, by 64.0 GiB: 131.4 GiB of weights" in str(why(large, demand, "A100 80GB PCIe", 1))
    assert "TTFT: a prompt of" in str(why(question("Llama-3.3-70B", ttft_s=0.2), demand, "H100 SXM", 4))
    assert "ITL: a token takes" in str(why(question("Llama-3.3-70B", ttft_s=9.0, itl_s=0.01), demand, "H100 SXM", 4))
    assert "no GPU of AMD was measured" in str(why(question(), demand, "MI300X", 1))
    named = question(sizes=(VM_SIZES["Standard_ND96isr_MI300X_v5"],), named=True)
    assert why(named, demand, "MI300X", 1) is None


def test_a_70b_model_in_16_bits_needs_two_gpus_and_in_8_bits_one(demand: Demand) -> None:
    asked = question("meta-llama/Llama-3.3-70B-Instruct", ttft_s=10.0, itl_s=0.2)
    assert why(asked, demand, "H200 SXM", 1) is not None
    assert why(asked, demand, "H200 SXM", 2) is None
    narrow = question(
        "meta-llama/Llama-3.3-70B-Instruct",
        ttft_s=10.0,
        itl_s=0.2,
        engine=EngineSpec(type="vllm", profile="shipped", precision="fp8"),
    )
    assert why(narrow, demand, "H200 SXM", 1) is None


def test_a_longer_request_than_the_cache_holds_is_refused(demand: Demand) -> None:
    asked = question(engine=EngineSpec(type="vllm", profile="shipped", kv_blocks=40))
    assert "KV for 640 is left" in str(why(asked, demand, "H100 NVL", 1))


@given(replicas=st.integers(1, 40), gpus=st.sampled_from([1, 2, 4]))
def test_whole_vms_are_paid_for(replicas: int, gpus: int) -> None:
    """No replica over two VMs, none without a GPU, and the cheapest size of those that hold it."""
    sizes = tuple(size for size in VM_SIZES.values() if "A100" in size.name and size.gpus >= gpus)
    found = Cut(gpu=gpu("A100 80GB PCIe"), gpus=gpus, sizes=sizes)
    size = found.size_for(replicas)
    vms = found.vms(size, replicas)
    assert vms * (size.gpus // gpus) >= replicas > (vms - 1) * (size.gpus // gpus)
    for other in sizes:
        assert found.usd_per_hour(replicas) <= found.vms(other, replicas) * other.usd_per_hour


@given(enough=st.integers(1, 200), least=st.integers(1, 200))
def test_the_search_finds_the_least_that_holds(enough: int, least: int) -> None:
    least = min(least, enough)
    assert _fewest(lambda count: count >= least, enough) == least


@pytest.mark.parametrize("mode", ["aggregated", "disaggregated"])
def test_the_fewest_replicas_that_hold_are_chosen(demand: Demand, mode: str) -> None:
    """Whatever the estimate: what is chosen attains 99 %, and no pool can do with one less."""
    asked = question("meta-llama/Llama-3.1-8B-Instruct", ttft_s=1.5)
    (option,) = [each for each in estimate(asked, demand, cut("H100 NVL", 1, asked)) if each.mode == mode]
    for start in (option.counts, (1,) * len(option.counts)):
        found = search(asked, replace(option, counts=start))
        assert found.chosen is not None
        assert found.chosen.attainment >= 0.99
        attained = {trial.counts: trial.attainment for trial in found.trials}
        for place, count in enumerate(found.chosen.counts):
            fewer = (*found.chosen.counts[:place], count - 1, *found.chosen.counts[place + 1 :])
            assert count == 1 or attained.get(fewer, 0.0) < 0.99


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["recommend", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


ASKED = ("--trace", "azure-code-excerpt", "--duration-s", 60, "--ttft-s", 0.5, "--itl-s", 0.03)


def test_the_command_tells_table_data_page_and_deployment(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A small model on a small GPU rather than on a large VM; and the deployment file is one that can be read."""
    sizes = ("--sku", "Standard_NC40ads_H100_v5", "--sku", "standard_nd96isr_h200_v5")
    asked = ("--model", "Qwen/Qwen3-0.6B", *ASKED, *sizes, "--finalists", 2)
    code, out, err = run(capsys, *asked, "--json", "--out", tmp_path)
    document = json.loads(out)
    assert code == 0
    assert document == json.loads((tmp_path / "recommend.json").read_text())
    best = document["recommended"]
    assert best["vm_size"] == "Standard_NC40ads_H100_v5"
    assert best["attainment"] >= 0.99
    assert best["usd_per_hour"] == min(each["usd_per_hour"] for each in document["options"] if each["feasible"])
    assert "one VM of H200 SXM alone costs more" in document["sentence"]
    assert "penstock recommend: " in err
    spec = read_spec(tmp_path / "deployment.yaml").spec
    assert spec.component("worker").replicas == best["replicas"]["worker"]
    page = (tmp_path / "recommend.html").read_text()
    assert document["headline"].replace("'", "&#x27;") in page
    assert 'http-equiv="Content-Security-Policy"' in page
    code, out, _ = run(capsys, *asked)
    assert code == 0
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "NC40ads_H100_v5" in out.splitlines()[1]
    assert "Take 1 replica of 1 x H100 NVL, aggregated" in " ".join(out.split())


def test_nothing_that_holds_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """With the reasons, and nothing to deploy."""
    code, out, _ = run(capsys, "--model", "Llama-3.1-405B", *ASKED, "--sku", "Standard_NC24ads_A100_v4", "--json")
    document = json.loads(out)
    assert code == 1
    assert document["recommended"] is None
    assert document["sentence"].startswith("Nothing holds the targets: 1 x A100 80GB PCIe: does not fit, by")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "Qwen/Qwen3-0.7B", *ASKED), "--model: unknown model"),
        (
            ("--model", "Qwen3-0.6B", *ASKED, "--sku", "Standard_NC41"),
            "--sku: unknown VM size 'Standard_NC41'; did you",
        ),
        (("--model", "Qwen3-0.6B", *ASKED[:-1], 0), "--itl-s: 0.0 will not do"),
        (("--model", "Qwen3-0.6B", *ASKED, "--profile", "nowhere.json"), "--profile nowhere.json: cannot be read"),
        (("--model", "Qwen3-0.6B", *ASKED, "--start-s", 99999), "has no request in that stretch"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...], message: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_bad_rows_are_left_out_and_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With --skip-bad; without it the first ends the command."""
    trace = tmp_path / "trace.jsonl"
    rows = ({"arrival_s": 0.5 * n, "input_tokens": -1 if n == 7 else 300, "output_tokens": 60} for n in range(60))
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ("--model", "Qwen/Qwen3-0.6B", "--trace", trace, "--ttft-s", 1, "--itl-s", 0.05)
    asked = (*asked, "--sku", "Standard_NC40ads_H100_v5", "--json")
    code, _, err = run(capsys, *asked)
    assert code == 2
    assert "line 8" in err
    code, out, _ = run(capsys, *asked, "--skip-bad")
    assert code == 0
    assert json.loads(out)["skipped_rows"][0]["rows"] == 1
