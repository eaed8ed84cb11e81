"""`penstock trace` as its users run it."""

import json
import subprocess
from pathlib import Path

import pytest

from penstock.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["trace", *map(str, args)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_stats_of_the_trace_that_ships(capsys: pytest.CaptureFixture[str]) -> None:
    """A table of at most 80 columns for people, one document for programs."""
    code, out, _ = run(capsys, "stats", "azure-code-excerpt")
    assert code == 0
    assert "2,036 over 8.1 min" in out
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = run(capsys, "stats", "azure-code-excerpt", "--json", "--duration-s", 60, "--speed", 2)
    document = json.loads(out)
    assert code == 0
    assert (document["format"], document["requests"]) == ("azure", 348)
    assert document["duration_s"] < 30


def test_a_page_with_charts_is_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """And stdout stays the answer's."""
    code, out, err = run(capsys, "stats", "azure-code-excerpt", "--json", "--plot", tmp_path / "page.html")
    assert code == 0
    json.loads(out)
    assert "page.html" in err
    assert "Plotly" in (tmp_path / "page.html").read_text()


def test_made_converted_and_read_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Synthesize, to Mooncake, back: the same requests, prefixes included."""
    made, cake, back = (tmp_path / name for name in ("made.jsonl", "cake.jsonl", "back.jsonl"))
    options = ("--duration-s", 60, "--rate", 5, "--turns", 3, "--think-s", 5, "--seed", 4)
    code, out, _ = run(capsys, "synthesize", "--out", made, *options, "--json")
    assert code == 0
    count = json.loads(out)["requests"]
    assert count > 100
    for source, kind, target in ((made, "mooncake", cake), (cake, "penstock", back)):
        code, out, _ = run(capsys, "convert", source, "--to", kind, "--out", target, "--json")
        assert code == 0
        assert json.loads(out) == {"out": str(target), "requests": count}
    first, last = ([json.loads(line) for line in path.read_text().splitlines()] for path in (made, back))
    for one, other in zip(first, last, strict=True):
        assert other.pop("arrival_s") == pytest.approx(one.pop("arrival_s"), abs=0.0006)
        assert one == other


def test_the_azure_format_says_that_it_loses_prefixes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It has no place for them."""
    code, _, err = run(capsys, "convert", "azure-code-excerpt", "--to", "azure", "--out", tmp_path / "t.csv")
    assert code == 0
    assert "no prefixes" in err
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[:2] == ["TIMESTAMP,ContextTokens,GeneratedTokens", "2000-01-01 00:00:00.0000000,22,7"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("stats", "none.csv"), "azure-code-excerpt"),
        (("stats", "azure-code-excerpt", "--speed", "0"), "--speed"),
        (("stats", "azure-code-excerpt", "--start-s", "1e6"), "no request"),
        (("convert", "azure-code-excerpt", "--to", "csv", "--out", "x"), "'csv'"),
        (("synthesize", "--out", "/dev/null/x"), "cannot be written"),
        *(
            (("synthesize", "--out", "x", *options), f"penstock: {flag}: ")
            for options, flag in (
                (("--turns", "0"), "--turns"),
                (("--shape", "ramp"), "--peak"),
                (("--shape", "diurnal", "--rate", "5", "--peak", "1"), "--peak"),
                (("--rate", "0"), "--rate"),
                (("--rate", "nan"), "--rate"),
                (("--shape", "spike", "--rate", "nan", "--peak", "5"), "--rate"),
                (("--duration-s", "0"), "--duration-s"),
                (("--cv", "0"), "--cv"),
                (("--input-tokens", "0"), "--input-tokens"),
                (("--input-tokens", "50000"), "--input-tokens"),
                (("--output-tokens-cv", "-1"), "--output-tokens-cv"),
                (("--system-prompts", "1"), "--system-prompts"),
                (("--system-prompts", "1", "--system-tokens", "40000"), "--system-tokens"),
            )
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], args: tuple[str, ...], says: str
) -> None:
    """With what would be right."""
    code, out, err = run(capsys, *args)
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_a_file_that_breaks_off_leaves_no_half_result(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Written whole or not at all."""
    source = tmp_path / "t.csv"
    source.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,1\n2023-11")
    code, _, err = run(capsys, "convert", source, "--to", "penstock", "--out", tmp_path / "new.jsonl")
    assert code == 2
    assert "line 3" in err
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


BAD = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03,48,1
2023-11-16 18:17:02,48,1
2023-11-16 18:17:04,nan,1
2023-11-16 18:17:04,-4,1
oops
2023-11-16 18:17:05,99999999999,1
2023-11-16 18:17:06,44,1
"""


def test_bad_rows_are_left_out_and_counted_on_demand(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """By kind, with the first row of each; the rest is as if they were not there."""
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text(BAD)
    lines = BAD.splitlines(keepends=True)
    good.write_text(lines[0] + lines[1] + lines[-1])
    for source, *options in ((bad, "--skip-bad"), (good,)):
        code, out, err = run(
            capsys, "convert", source, "--to", "penstock", "--out", f"{source}.jsonl", "--json", *options
        )
        assert code == 0
        if options:
            assert [(kind["fault"], kind["rows"]) for kind in json.loads(out)["skipped_rows"]] == [
                ("out of order", 1),
                ("a length that will not do", 3),
                ("not of this format", 1),
            ]
            assert "skipped 3 rows (a length that will not do), the first: " in err
            assert "bad.csv line 4: ContextTokens is 'nan'" in err
    assert (tmp_path / "bad.csv.jsonl").read_bytes() == (tmp_path / "good.csv.jsonl").read_bytes()
    code, out, err = run(capsys, "stats", bad, "--skip-bad")
    assert (code, err.count("skipped")) == (0, 3)
    assert "requests    2 over 3.0 s" in out


def test_a_file_of_nothing_but_bad_rows_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """And does not send its reader to --start-s."""
    path = tmp_path / "bad.csv"
    path.write_text(BAD.splitlines()[0] + "\noops\n")
    code, _, err = run(capsys, "stats", path, "--skip-bad")
    assert code == 2
    assert "has no good row" in err
    assert "line 2" in err


def test_the_error_for_unsorted_rows_says_how_to_sort(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """And that command does."""
    path = tmp_path / "t.csv"
    path.write_text("".join(line for line in BAD.splitlines(keepends=True) if "18:17:03" in line or "02," in line))
    path.write_text(BAD.splitlines()[0] + "\n" + path.read_text())
    code, _, err = run(capsys, "stats", path)
    assert code == 2
    command = err.strip().rpartition("sort the file: ")[2].replace("FILE", str(path))
    sorted_rows = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
    path.write_bytes(sorted_rows)
    code, out, _ = run(capsys, "stats", path)
    assert code == 0
    assert "requests    2 over 1.0 s" in out
