"""Every format is read and written as it is documented, and what is wrong with a file is said with its line."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.workload import azure, mooncake, penstock_jsonl
from penstock.workload.arrival import Arrival
from penstock.workload.detect import SHIPPED, open_trace
from penstock.workload.prefix_chain import PrefixChain

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def write(folder: Path, text: str | bytes, name: str = "trace") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path | str, seed: int = 0) -> list[Arrival]:
    return list(open_trace(path).arrivals(seed=seed))


def test_azure_keeps_seven_digits_and_starts_at_its_first_row(tmp_path: Path) -> None:
    """Times are relative, also across midnight."""
    path = write(
        tmp_path,
        AZURE + "2023-11-16 23:59:59.9799600,4808,10\n2023-11-17 00:00:00.0319601,3180,8\n2023-11-17 00:00:01,1,1\n",
    )
    assert read(path) == [Arrival(0.0, 4808, 10), Arrival(0.0520001, 3180, 8), Arrival(1.02004, 1, 1)]


def test_azure_reads_the_2024_form_with_an_offset(tmp_path: Path) -> None:
    """Six digits and a time zone; CRLF, a BOM and blanks do no harm."""
    text = "\ufeffTIMESTAMP, ContextTokens,GeneratedTokens\r\n2024-05-10 00:00:00.009930+00:00,7,2\r\n"
    path = write(tmp_path, text + "2024-05-10 02:00:01.009930+02:00, 8 ,3\r\n\r\n")
    assert read(path) == [Arrival(0.0, 7, 2), Arrival(1.0, 8, 3)]


def test_mooncake_names_its_blocks(tmp_path: Path) -> None:
    """Milliseconds that are real are left as they are."""
    rows = [
        {"timestamp": 0, "input_length": 1025, "output_length": 5, "hash_ids": [0, 1, 2]},
        {"timestamp": 27, "input_length": 512, "output_length": 1, "hash_ids": [0]},
    ]
    path = write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    assert read(path) == [Arrival(0.0, 1025, 5, (0, 1, 2)), Arrival(0.027, 512, 1, (0,))]


def test_mooncake_at_three_seconds_is_spread_in_order_and_by_the_seed(tmp_path: Path) -> None:
    """Each request stays within its 3 s and keeps its place; another seed places it elsewhere."""
    times_ms = [0, 0, 0, 2999, 3000, 3001, 9000]
    rows = [
        {"timestamp": at, "input_length": 9, "output_length": n + 1, "hash_ids": []} for n, at in enumerate(times_ms)
    ]
    path = write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    arrivals = read(path, seed=1)
    assert [arrival.output_tokens for arrival in arrivals] == [1, 2, 3, 4, 5, 6, 7]
    assert [int(arrival.arrival_s // 3) for arrival in arrivals] == [0, 0, 0, 1, 1, 1, 3]
    assert [arrival.arrival_s for arrival in arrivals] == sorted({arrival.arrival_s for arrival in arrivals})
    assert read(path, seed=1) == arrivals
    assert read(path, seed=2) != arrivals


def test_penstock_lines_may_name_blocks_and_their_size(tmp_path: Path) -> None:
    """Both are optional, and unknown fields are passed over."""
    rows = [
        {"arrival_s": 0.5, "input_tokens": 3, "output_tokens": 2},
        {"arrival_s": 1, "input_tokens": 65, "output_tokens": 2, "prefix_blocks": [7, 8], "block_tokens": 64, "x": 1},
    ]
    path = write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    assert read(path) == [Arrival(0.5, 3, 2), Arrival(1.0, 65, 2, (7, 8), 64)]


def test_gzip_is_known_by_content(tmp_path: Path) -> None:
    """Whatever the file is called."""
    path = write(tmp_path, gzip.compress((AZURE + "2023-11-16 18:17:03,1,2\n").encode()))
    assert read(path) == [Arrival(0.0, 1, 2)]


def test_the_excerpt_that_ships_is_known_by_name() -> None:
    """A stretch of the Azure code trace, with its credit, and small."""
    arrivals = read("azure-code-excerpt")
    path = SHIPPED["azure-code-excerpt"]
    assert len(arrivals) == 2036
    assert arrivals[0] == Arrival(0.0, 22, 7)
    assert path.stat().st_size < 200_000
    assert "CC-BY-4.0" in (path.parent / "CREDIT.md").read_text()


ROW = '{"arrival_s": 1, "input_tokens": 5, "output_tokens": 5}\n'
CAKE = '{"timestamp": 1, "input_length": 5, "output_length": 5, "hash_ids": []}\n'


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "trace", "is empty"),
        ("\n \n", "trace", "is empty"),
        ("hello\n", "line 1", "no trace format begins with"),
        ("\x00\x01\x02", "line 1", "no trace format begins with"),
        ('{"a": 1}\n', "line 1", "no trace format begins with"),
        (AZURE + "2023-11-16 18:17:03.9,48", "line 2", "2 fields"),
        (AZURE + "2023-11-16 18:17:0", "line 2", "1 fields"),
        (AZURE + "2023-11-16 18:17:99.9,48,1\n", "line 2", "no time in"),
        (AZURE + "2023-02-30 18:17:09.9,48,1\n", "line 2", "no such day"),
        (AZURE + "2023-11-16 18:17:03,48,1\n2023-11-16 18:17:02,48,1\n", "line 3", "time goes back by 1 s"),
        (AZURE + "2023-11-16 18:17:03,48,1\n2024-11-16 18:17:02,48,1\n", "line 3", "comes 366 days after"),
        (ROW + ROW.replace("1,", "1e8,"), "line 2", "comes 1,157 days after"),
        (CAKE.replace("1,", "1e9,"), "line 1", "comes 12 days after"),
        (AZURE + "2023-11-16 18:17:03,-48,1\n", "line 2", "ContextTokens is '-48'"),
        (AZURE + "2023-11-16 18:17:03,0,1\n", "line 2", "ContextTokens is 0"),
        (AZURE + "2023-11-16 18:17:03,48,99999999999\n", "line 2", "GeneratedTokens is"),
        (AZURE + "2023-11-16 18:17:03,48,4.5\n", "line 2", "GeneratedTokens is '4.5'"),
        (ROW + ROW[:20], "line 2", "not JSON"),
        (ROW + "[]\n", "line 2", "not a JSON object"),
        (ROW + '{"arrival_s": 2, "input_tokens": 5}\n', "line 2", "no field 'output_tokens'"),
        (ROW + ROW.replace("1,", "0.5,"), "line 2", "time goes back by 0.5 s"),
        (ROW.replace("1,", "-1,"), "line 1", "arrival_s is -1"),
        (ROW.replace("1,", "true,"), "line 1", "arrival_s is True"),
        (ROW.replace("1,", "1e400,"), "line 1", "arrival_s"),
        (ROW.replace("5}", "5.0}"), "line 1", "output_tokens is 5.0"),
        (ROW.replace("5}", "10000001}"), "line 1", "output_tokens is 10000001"),
        (ROW.replace("5}", '5, "prefix_blocks": [1, 2]}'), "line 1", "prefix_blocks has 2 blocks"),
        (ROW.replace("5}", '5, "prefix_blocks": 7}'), "line 1", "prefix_blocks is 7"),
        (ROW.replace("5}", '5, "prefix_blocks": [-7]}'), "line 1", "prefix_blocks holds -7"),
        (ROW.replace("5}", '5, "block_tokens": 0}'), "line 1", "block_tokens is 0"),
        (CAKE + CAKE.replace("1,", '"1",'), "line 2", "timestamp is '1'"),
        (CAKE + CAKE.replace("[]", "[0, 1]"), "line 2", "hash_ids has 2 blocks"),
        (CAKE.replace("5,", "0,"), "line 1", "input_length is 0"),
    ],
)
def test_a_bad_file_is_told_by_line(tmp_path: Path, text: str, where: str, what: str) -> None:
    """One line: where, what, and what would be right."""
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read(path)
    assert where in caught.value.where
    assert what in caught.value.what or what.startswith("arrival_s")
    assert caught.value.fix
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """Missing, a folder, half a gzip."""
    whole = gzip.compress((AZURE + "2023-11-16 18:17:03,1,2\n" * 1000).encode())
    for path, what in (
        (tmp_path / "none", "no such trace"),
        (tmp_path, "is a folder"),
        (write(tmp_path, whole[: len(whole) // 2], "half.gz"), "broken gzip data"),
    ):
        with pytest.raises(InputError) as caught:
            read(path)
        assert what in caught.value.what


def test_a_line_without_end_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    """A file of zeros has no lines."""
    path = write(tmp_path, AZURE.encode() + b"0" * (5 * 1024 * 1024))
    with pytest.raises(InputError, match="a line of more than"):
        read(path)


def test_reading_is_lazy(tmp_path: Path) -> None:
    """What comes before a bad line can be used: nothing is read ahead by more than Mooncake's look."""
    path = write(tmp_path, ROW + "oops\n")
    arrivals = open_trace(path).arrivals()
    assert next(arrivals) == Arrival(1.0, 5, 5)
    with pytest.raises(InputError, match="line 2"):
        next(arrivals)


@st.composite
def workloads(draw: st.DrawFn) -> list[Arrival]:
    instants = sorted(draw(st.lists(st.floats(0, 6e5, allow_nan=False), max_size=8)))
    tokens = st.integers(1, 5000)
    arrivals, chain = [], PrefixChain()
    for at_s in instants:
        length, size = draw(tokens), draw(st.sampled_from([16, 512]))
        room = -(-length // size)
        ids = st.integers(0, 3) | st.integers(0, 2**63 - 1)
        blocks = chain.chained(tuple(draw(st.lists(ids, max_size=min(room, 4)))))
        arrivals.append(Arrival(at_s, length, draw(tokens), blocks, size if blocks else 512))
    return arrivals


@given(workload=workloads())
def test_penstock_round_trip_is_exact(workload: list[Arrival], tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is written is read back equal."""
    path = tmp_path_factory.mktemp("trace") / "t.jsonl"
    with path.open("wb") as file:
        assert penstock_jsonl.write(workload, file) == len(workload)
    if workload:
        assert read(path) == workload


@given(workload=workloads().filter(bool))
def test_azure_round_trip_keeps_times_to_100_ns(
    workload: list[Arrival], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Relative to the first; without prefixes."""
    path = tmp_path_factory.mktemp("trace") / "t.csv"
    with path.open("wb") as file:
        azure.write(workload, file)
    found = read(path)
    assert [(a.input_tokens, a.output_tokens) for a in found] == [(a.input_tokens, a.output_tokens) for a in workload]
    start_s = workload[0].arrival_s
    for got, wanted in zip(found, workload, strict=True):
        assert got.arrival_s == pytest.approx(wanted.arrival_s - start_s, abs=2e-7)


@given(workload=workloads().map(lambda many: [a for a in many if a.block_tokens == 512]).filter(bool))
def test_mooncake_round_trip_keeps_times_to_1_ms(
    workload: list[Arrival], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And the blocks; a workload that happens to look quantised may move by 3 s."""
    path = tmp_path_factory.mktemp("trace") / "t.jsonl"
    with path.open("wb") as file:
        mooncake.write(workload, file)
    found = read(path)
    assert [a.prefix_blocks for a in found] == [a.prefix_blocks for a in workload]
    slack_s = 0.0006 if len({round(a.arrival_s * 1000) for a in workload}) == len(workload) else 3.02
    for got, wanted in zip(found, workload, strict=True):
        assert got.arrival_s == pytest.approx(wanted.arrival_s, abs=slack_s)


def test_mooncake_cannot_hold_other_blocks(tmp_path: Path) -> None:
    """Its blocks have 512 tokens; smaller ones would share more than is written."""
    with (tmp_path / "t").open("wb") as file, pytest.raises(InputError, match="64 tokens"):
        mooncake.write([Arrival(0, 65, 1, (1, 2), 64)], file)
