"""`penstock simulate` and `compare`: their documents, their files, and what they refuse."""

import json
from pathlib import Path

import pytest

from penstock.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"
STRETCH = ("--trace", "azure-code-excerpt", "--duration-s", "60")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_document_is_the_one_of_interfaces(capsys: pytest.CaptureFixture[str]) -> None:
    """All that `load` has, with GPU-hours, cost and replicas; nothing else on stdout."""
    code, out, _ = run(capsys, "simulate", EXAMPLES / "demo.yaml", *STRETCH, "--json")
    document = json.loads(out)
    assert code == 0
    counts = document["requests"]
    assert counts["offered"] == counts["completed"] + counts["rejected"] + counts["failed"] == 348
    assert {"ttft_s", "itl_s", "e2e_s", "tokens", "slo", "gpu_hours", "cost_usd", "replicas", "wall_s"} <= set(document)
    assert document["slo"]["windows"] > 0
    assert document["cost_usd"] > 0


def test_the_folder_has_the_files_of_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """And `explain` reads them."""
    code, _, _ = run(capsys, "simulate", EXAMPLES / "demo.yaml", *STRETCH, "--out", tmp_path)
    assert code == 0
    for name in ("summary.json", "requests.jsonl", "decisions.jsonl", "history.jsonl", "run.json", "report.html"):
        assert (tmp_path / name).stat().st_size > 0
    assert len((tmp_path / "requests.jsonl").read_bytes().splitlines()) == 348
    code, out, _ = run(capsys, "explain", tmp_path)
    assert code == 0
    assert "worker (planner)" in out


def test_the_same_seed_gives_the_same_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Byte for byte, but for what tells how long it took."""
    for name in ("a", "b"):
        run(capsys, "simulate", EXAMPLES / "demo.yaml", *STRETCH, "--seed", 3, "--out", tmp_path / name)
    for file in ("requests.jsonl", "decisions.jsonl", "history.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


WORLD = """
apiVersion: penstock.dev/v1alpha1
kind: VirtualCluster
spec:
  nodePools:
    - {vmSize: Standard_NC40ads_H100_v5, vm: {meanSeconds: 15}, driver: {meanSeconds: 5}, scanSeconds: 5}
  podStart: {image: {meanSeconds: 2}, weights: {meanSeconds: 3}, engine: {meanSeconds: 5}}
"""


def test_a_world_changes_what_comes_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nodes that take half a minute: the first requests are held for as long."""
    world = tmp_path / "world.yaml"
    world.write_text(WORLD)
    _, out, _ = run(capsys, "simulate", EXAMPLES / "demo.yaml", *STRETCH, "--world", world, "--json")
    first_ready_s = next(at_s for at_s, _, ready in json.loads(out)["replicas"]["worker"] if ready)
    assert 34 <= first_ready_s <= 37


@pytest.mark.parametrize(
    ("world", "complaint"),
    [
        (WORLD.replace("vmSize", "vmSizes"), "spec.nodePools[0].vmSizes: unknown field; did you mean vmSize?"),
        (WORLD.replace("meanSeconds: 15", "meanSeconds: -1"), "spec.nodePools[0].vm.meanSeconds"),
        (WORLD.replace("NC40ads", "NC41ads"), "unknown VM size 'Standard_NC41ads_H100_v5'; did you mean"),
        ("kind: [", "not valid YAML"),
    ],
)
def test_a_broken_world_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, world: str, complaint: str
) -> None:
    """With the field's path and what would be right."""
    path = tmp_path / "world.yaml"
    path.write_text(world)
    code, out, err = run(capsys, "simulate", EXAMPLES / "demo.yaml", *STRETCH, "--world", path)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert complaint in err


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("NC40ads", "NC41ads", "gpu.vmSize: unknown VM size 'Standard_NC41ads_H100_v5'; did you mean Standard_NC40ads"),
        ("count: 1", "count: 3", "gpu.count: 3 GPUs, but Standard_NC40ads_H100_v5 has 1; lower it"),
        ("ttftSeconds: 1.0", "ttftSeconds: .nan", "slo.ttftSeconds: nan will not do"),
    ],
)
def test_an_impossible_deployment_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, before: str, after: str, complaint: str
) -> None:
    """With the file, the field and what would be right."""
    path = tmp_path / "spec.yaml"
    path.write_text((EXAMPLES / "demo.yaml").read_text().replace(before, after))
    code, out, err = run(capsys, "simulate", path, *STRETCH)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert f"{path}: spec." in err
    assert complaint in err


def test_an_empty_stretch_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything runs."""
    code, _, err = run(capsys, "simulate", EXAMPLES / "demo.yaml", "--trace", "azure-code-excerpt", "--start-s", "9999")
    assert code == 2
    assert "has no request in that stretch" in err


def test_compare_gives_deployments_and_yardsticks(capsys: pytest.CaptureFixture[str]) -> None:
    """The document of interfaces, and a table that fits."""
    arguments = ("compare", EXAMPLES / "demo.yaml", "--trace", "azure-code-excerpt", "--duration-s", "40")
    code, out, _ = run(capsys, *arguments, "--json")
    document = json.loads(out)
    assert code == 0
    assert set(document) == {"deployments", "optimum", "hindsight"}
    assert set(document["deployments"]) == {"demo"}
    assert 0 < document["optimum"]["gpu_hours"] <= document["hindsight"]["gpu_hours"]
    assert {"headroom", "window_s", "attainment", "cost_usd"} <= set(document["hindsight"])
    _, out, _ = run(capsys, *arguments)
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "(optimum)" in out


BAD_TRACE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03,48,1
2023-11-16 18:17:04,-4,1
2023-11-16 18:17:06,44,1
"""


@pytest.mark.parametrize("command", ["simulate", "compare"])
def test_a_bad_row_is_one_line_or_left_out_and_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    """Also in the midst of a run, and where other processes read the trace."""
    path = tmp_path / "t.csv"
    good = "2023-11-16 18:17:03,48,1\n"
    path.write_text(BAD_TRACE.replace(good, good * 1500))
    arguments = (command, EXAMPLES / "demo.yaml", "--trace", path, "--json")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"penstock: {path} line 1502: ContextTokens is '-4'; give a whole number from 1 to 10000000"
    ]
    code, out, err = run(capsys, *arguments, "--skip-bad")
    document = json.loads(out)
    result = document["deployments"]["demo"] if command == "compare" else document
    assert code == 0
    assert result["requests"]["offered"] == 1501
    assert [kind["rows"] for kind in document["skipped_rows"]] == [1]
    assert "skipped 1 row (a length that will not do), the first: " in err


APART = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: apart}
spec:
  model: {name: m}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05}
  components:
    - {name: frontend, role: frontend}
    - {name: prefill, role: prefill, engine: {type: simulated}, autoscaling: {by: planner, min: 1, max: 1}}
    - {name: decode, role: decode, engine: {type: simulated}, autoscaling: {by: none}}
"""
FLOOD = """
apiVersion: penstock.dev/v1alpha1
kind: Workload
spec: {generate: {durationSeconds: 1000000, rate: {requestsPerSecond: 1000}}}
"""


@pytest.mark.parametrize(
    "spec", [APART, APART.replace("role: prefill", "role: worker").replace("    - {name: decode", "    # {")]
)
def test_a_backlog_without_bound_ends_the_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    """With exit code 1 and what would help: nobody waits a thousand hours for an answer that is known."""
    monkeypatch.setattr("penstock.simulator.run.MAX_BACKLOG", 8_000)
    deployment, flood = tmp_path / "apart.yaml", tmp_path / "flood.yaml"
    deployment.write_text(spec)
    flood.write_text(FLOOD)
    code, out, err = run(capsys, "simulate", deployment, "--trace", flood, "--json")
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert "requests are unanswered and more come than leave" in last
    assert "raise max" in last


def test_compare_leaves_a_report_and_each_deployments_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One page with all of them, a folder a deployment as `simulate --out` leaves it, nothing of an earlier run."""
    (tmp_path / "hpa").mkdir()
    (tmp_path / "hpa" / "history.jsonl").write_text("of an earlier run\n")
    specs = (EXAMPLES / "aggregated.yaml", EXAMPLES / "hpa.yaml")
    code, out, _ = run(capsys, "compare", *specs, *STRETCH, "--seed", 3, "--out", tmp_path, "--json")
    document = json.loads(out)
    assert code == 0
    assert json.loads((tmp_path / "summary.json").read_text()) == document
    page = (tmp_path / "report.html").read_text()
    assert "within target" in page.split("<noscript>")[0]
    found = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert {each["name"] for each in found["ranked"]} == {"aggregated", "hpa"}
    assert found["store"]["series"]["need"][0] >= 1
    for name in ("aggregated", "hpa"):
        assert json.loads((tmp_path / name / "summary.json").read_text()) == document["deployments"][name]
        run(capsys, "simulate", EXAMPLES / f"{name}.yaml", *STRETCH, "--seed", 3, "--out", tmp_path / "alone")
        for file in ("requests.jsonl", "decisions.jsonl", "history.jsonl"):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()
        assert (tmp_path / name / "report.html").stat().st_size > 0
    cost = [each["cost_usd"] for each in found["ranked"]]
    assert cost == sorted(cost) or found["ranked"][0]["attainment"] > found["ranked"][1]["attainment"]


def test_compare_says_where_it_cannot_write(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One line, before anything runs."""
    (tmp_path / "file").write_text("")
    code, out, err = run(capsys, "compare", EXAMPLES / "demo.yaml", *STRETCH, "--out", tmp_path / "file")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "cannot be written" in err


def test_a_deployment_that_drowns_is_named_beside_the_others_results(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, its reason in the document; what the others came to is not lost, and no yardstick is guessed."""
    monkeypatch.setattr("penstock.simulator.run.MAX_BACKLOG", 60)
    fixed = (EXAMPLES / "aggregated.yaml").read_text().replace("by: planner, min: 1, max: 4", "by: none")
    slow, quick, trace = tmp_path / "slow.yaml", tmp_path / "quick.yaml", tmp_path / "trace.jsonl"
    start = "startup: {coldSeconds: 8, warmSeconds: 3}"
    slow.write_text(fixed.replace(start, "stepTime: {baseSeconds: 5.0}"))
    quick.write_text(fixed.replace(start, "startup: {coldSeconds: 0, warmSeconds: 0}"))
    row = '{"arrival_s": %s, "input_tokens": 20, "output_tokens": 5}\n'
    trace.write_text("".join(row % (0.1 * number) for number in range(300)))
    code, out, err = run(capsys, "compare", quick, slow, "--trace", trace, "--json", "--out", tmp_path / "out")
    document = json.loads(out)
    assert code == 1
    assert set(document["deployments"]) == {"quick"}
    assert "unanswered" in document["failed"]["slow"]
    assert err.splitlines()[-1].startswith("penstock compare: slow failed: after ")
    assert (tmp_path / "out" / "report.html").exists()
    assert document["optimum"]["gpu_hours"] > 0
    code, out, _ = run(capsys, "compare", slow, quick, "--trace", trace, "--json")
    document = json.loads(out)
    assert set(document["deployments"]) == {"quick"}
    assert (document["optimum"], document["hindsight"]) == (None, None)
    assert document["without_yardsticks"].startswith("slow cannot be simulated: after ")
