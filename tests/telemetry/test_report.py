"""A run's directory in, a report out: its verdict, its parts, and what is missing or hostile."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from fake_run import deployment, record

from penstock.errors import InputError
from penstock.telemetry import report
from penstock.telemetry.log_histogram import LogHistogram
from penstock.telemetry.report import describe_run, render, write_report
from penstock.telemetry.run_info import RunInfo, read_run_info, write_run_info
from penstock.telemetry.summary import Window
from penstock.telemetry.verdict import cause, verdict

SLO = deployment().spec.slo


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    record(directory, length_s=300)
    return directory


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def test_the_report_is_one_file_that_loads_nothing(run: Path) -> None:
    """No src, no link but the empty icon, no import; the policy forbids the rest."""
    html = write_report(run).read_text(encoding="utf-8")
    own = html.replace(html.split("<script>")[1].split("</script>")[0], "")  # without plotly
    assert " src=" not in own.split("<script>")[0]
    assert own.count("<link") == 1
    assert "default-src &#x27;none&#x27;" in own
    assert html.count("<script") == 3


def test_the_verdict_is_on_top_and_in_the_html(run: Path) -> None:
    """It is read without JavaScript."""
    html = write_report(run).read_text(encoding="utf-8")
    assert "of windows within target" in html.split("<noscript>")[0]


def test_the_replay_shows_what_the_page_showed(run: Path) -> None:
    """Every observation and decision of the files is there, with costs."""
    described = describe_run(run)
    history = described["history"]
    assert len(history["time_s"]) == 300
    assert len(history["decisions"]) == 60
    assert history["series"]["spent_usd"][-1] > 0
    assert history["series"]["pool/worker/capacity"][-1] > 0
    assert len(described["windows"]) == 5
    assert len(described["slowest"]) == 20
    ttfts = [request["ttft_s"] for request in described["slowest"]]
    assert ttfts == sorted(ttfts, reverse=True)


def test_a_long_run_is_thinned_and_says_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit one observation in k is drawn, and always the last; the money is still exact."""
    whole = describe_run(run)["history"]
    monkeypatch.setattr(report, "MAX_MOMENTS", 40)
    thinned = describe_run(run)
    assert thinned["one_in"] == 8
    assert len(thinned["history"]["time_s"]) <= 40
    assert thinned["history"]["time_s"][-1] == whole["time_s"][-1]
    assert thinned["history"]["series"]["spent_usd"][-1] == whole["series"]["spent_usd"][-1]


@pytest.mark.parametrize("name", ["requests.jsonl", "decisions.jsonl", "history.jsonl", "summary.json"])
def test_a_file_that_a_run_did_not_write_is_said_to_be_missing(run: Path, name: str) -> None:
    """`up` alone has no requests; a report of the rest is still made."""
    (run / name).unlink()
    assert write_report(run).exists()
    assert describe_run(run)["recorded"][name] is False


def test_a_directory_that_is_no_run_is_an_input_error(tmp_path: Path) -> None:
    """One line that names the file."""
    with pytest.raises(InputError, match=r"run\.json"):
        write_report(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(InputError, match=r"run\.json"):
        write_report(tmp_path)


def test_a_broken_summary_is_an_input_error(run: Path) -> None:
    """Not a traceback."""
    (run / "summary.json").write_text("{")
    with pytest.raises(InputError, match=r"summary\.json"):
        write_report(run)


def test_data_cannot_leave_its_block(run: Path) -> None:
    """A name with a script end or a template place in it stays inside the JSON and inside the escaped title."""
    described = describe_run(run)
    described["verdict"]["sentence"] = "<b>{{script}}</b>"
    described["history"]["meta"]["name"] = "</script><script>alert(1)</script>"
    html = render(described)
    assert "<script>alert(1)" not in html
    assert "&lt;b&gt;{{script}}&lt;/b&gt;" in html
    assert html.count("<script") == 3


def test_how_it_was_made_survives_its_file(tmp_path: Path) -> None:
    """Command, seed, spec and versions."""
    info = RunInfo(command=("penstock", "up", "a b.yaml"), spec="x: 1", seed=7, started_unix_s=5.0, utc_offset_s=3600)
    write_run_info(tmp_path, info)
    assert read_run_info(tmp_path) == info
    assert {"python", "penstock"} <= set(info.versions)


def window(**given: Any) -> Window:
    return Window(**{"start_s": 60.0, "requests": 100, "ttft_within": 100, "gaps": 900, "gaps_within": 900} | given)


def history(**series: list[float | None]) -> dict[str, Any]:
    columns = {f"pool/worker/{name}": values for name, values in series.items()}
    return {"time_s": [50.0, 70.0, 110.0, 130.0], "series": columns, "meta": {"pools": [{"name": "worker"}]}}


def test_demand_beyond_capacity_is_named_at_its_worst_moment() -> None:
    """Only moments inside the window count; what was starting is said too."""
    told = cause(
        window(ttft_within=80),
        SLO,
        history(demand=[99, 8, 12, 99], capacity=[5, 5, 5, 5], ready=[1, 1, 1, 1], starting=[0, 0, 2, 0]),
    )
    assert "worker had 12.0 requests/s to carry and its 1 ready replica carries 5.0, while 2 more were starting" in told
    assert "80 of 100 first tokens came within target" in told


def test_refused_requests_come_first() -> None:
    """They are the plainest cause."""
    told = cause(window(ttft_within=90, rejected=9, failed=1), SLO, history())
    assert told.startswith("10 of 100 requests were refused or failed")


def test_queues_are_named_when_capacity_is_unknown() -> None:
    """An HPA has no figure of capacity; then what waited is told."""
    told = cause(window(ttft_within=80), SLO, history(queue=[0, 3, 17, 40]))
    assert told.startswith("up to 17 requests waited in worker")


def test_the_percentile_that_missed_is_told() -> None:
    """With its value."""
    late = LogHistogram()
    late.add(0.8, 100)
    assert cause(window(ttft_within=0, ttft=late, itl=LogHistogram()), SLO, history()) == "TTFT p95 was 800 ms"


def test_the_sentence_says_share_cost_saving_and_the_worst_windows() -> None:
    """In that order, and no more than two windows."""
    windows = [window(start_s=60.0 * each, ttft_within=within) for each, within in enumerate((100, 90, 50, 70))]
    summary = {"slo": {"windows": 4, "windows_met": 1, "attainment": 0.25}, "cost_usd": 1.5, "requests": {"failed": 0}}
    seen = history()
    seen["series"] |= {"spent_usd": [1.5], "static_peak_usd": [2.0]}
    judged = verdict(summary, windows, SLO, seen, lambda time_s: f"t{time_s:.0f}")
    assert judged.sentence == (
        "25.0 % of windows within target (1 of 4), $1.50 (25 % less than a static peak); 3 windows missed, "
        "the worst two, at t120 because 50 of 100 first tokens came within target; "
        "at t180 because 70 of 100 first tokens came within target."
    )
    assert judged.met is False


def test_windows_that_only_the_summary_knows_as_missed_are_told() -> None:
    """A simulated run records mean gaps: a window may look met in its requests and still have been missed."""
    summary = {"slo": {"windows": 3, "windows_met": 1, "attainment": 1 / 3}, "requests": {"failed": 0}}
    windows = [window(start_s=60.0 * each, ttft_within=within) for each, within in enumerate((100, 100, 50))]
    judged = verdict(summary, windows, SLO, history(), lambda time_s: f"t{time_s:.0f}")
    assert judged.sentence == (
        "33.3 % of windows within target (1 of 3), 1 window missed by gaps that requests.jsonl averages out; "
        "1 more window missed, at t120 because 50 of 100 first tokens came within target."
    )


def test_a_run_without_requests_is_not_called_good() -> None:
    """Nothing was measured, so nothing is judged."""
    judged = verdict({"slo": {"windows": 0}, "requests": {}}, [], SLO, history(), str)
    assert judged.met is None
    assert judged.sentence == "no window had a request."


def test_the_document_is_plain_json(run: Path) -> None:
    """So that it can stand in a page, and two of them side by side."""
    first, second = describe_run(run), describe_run(run)
    assert orjson.loads(orjson.dumps({"runs": [first, second]}, option=orjson.OPT_NON_STR_KEYS))
