"""Whatever a file holds, reading it ends: with requests, or with one line. Never a traceback, never without bound."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.workload.arrival import MAX_TOKENS, Arrival
from penstock.workload.bad_rows import SkippedRows
from penstock.workload.detect import open_trace
from penstock.workload.trace_lines import LONGEST_SILENCE_S

AZURE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n"
CAKE = b'{"timestamp": 0, "input_length": 2290, "output_length": 316, "hash_ids": [0, 42, 43]}\n'
OURS = b'{"arrival_s": 0.5, "input_tokens": 70, "output_tokens": 9, "prefix_blocks": [7, 8], "block_tokens": 64}\n'
MADE = (
    b"apiVersion: penstock.dev/v1alpha1\nkind: Workload\nspec:\n  seed: 1\n  generate:\n    durationSeconds: 60\n"
    b"    rate: {requestsPerSecond: 2, gapsCv: 2, points: [[0, 1], [30, 2]], noise: {cv: 0.1}}\n"
    b"    input: {mean: 100, cv: 1, max: 200}\n"
)
FILES = {"azure": AZURE, "mooncake": CAKE, "penstock": OURS, "workload": MADE}
many = settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])

NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "nan", "-1", "0", "1e400", "-0.0", "1e308", "9" * 25, "9" * 5000, "0x10", "1_0"),
    *("1.5", "true", "null", '""', "[]", "{}", "2023-02-30 00:00:00", "9999-12-31 23:59:59.999999999"),
)
numbers = st.sampled_from(NUMBERS).map(str.encode)


@st.composite
def broken(draw: st.DrawFn, file: bytes) -> bytes:
    """A file that begins as one of ours, cut, spliced, and with values that will not do."""
    content = file + b"".join(draw(st.lists(st.just(file.splitlines(keepends=True)[-1]), max_size=3)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 12))
        content = content[:place] + draw(st.binary(max_size=12) | numbers) + content[place + length :]
    return content


def read(path: Path, *, skip: bool) -> list[Arrival] | None:
    """The first requests, checked; None where it was refused."""
    skipped = SkippedRows() if skip else None
    found = []
    try:
        for arrival in islice(open_trace(path, skipped=skipped).arrivals(), 300):
            assert 1 <= arrival.input_tokens <= MAX_TOKENS
            assert 1 <= arrival.output_tokens <= MAX_TOKENS
            assert len(arrival.prefix_blocks) <= -(-arrival.input_tokens // arrival.block_tokens)
            before_s = found[-1].arrival_s if found else 0.0
            assert before_s <= arrival.arrival_s
            assert arrival.arrival_s <= before_s + LONGEST_SILENCE_S + 3 or path.read_bytes().count(b"spec")
            found.append(arrival)
    except InputError as error:
        refused = error
    else:
        return found
    assert refused.where
    assert refused.fix
    assert "\n" not in str(refused)
    return None


@many
@given(content=st.binary(max_size=300))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    """Also where bad rows are passed over."""
    path = tmp_path / "t"
    path.write_bytes(content)
    for skip in (False, True):
        read(path, skip=skip)


@pytest.mark.parametrize("name", FILES)
@many
@given(data=st.data())
def test_files_that_begin_well(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """What a strict reading accepts, a lenient one reads alike."""
    path = tmp_path / "t"
    path.write_bytes(data.draw(broken(FILES[name])))
    strict = read(path, skip=False)
    lenient = read(path, skip=True)
    if strict is not None:
        assert lenient == strict


@many
@given(content=st.binary(max_size=80), place=st.integers(0, 80))
def test_broken_gzip(tmp_path: Path, content: bytes, place: int) -> None:
    """Cut or overwritten anywhere."""
    path = tmp_path / "t"
    packed = gzip.compress(OURS * 20)
    path.write_bytes(packed[:place] + content)
    read(path, skip=False)
    read(path, skip=True)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("line", [CAKE, OURS])
@many
@given(data=st.data())
def test_any_json_in_any_field(tmp_path: Path, line: bytes, data: st.DataObject) -> None:
    """One field of one row holds whatever JSON can say, NaN included as Python writes it."""
    row = json.loads(line)
    row[data.draw(st.sampled_from(sorted(row)))] = data.draw(values)
    path = tmp_path / "t"
    path.write_bytes(line + json.dumps(row).encode() + b"\n")
    lenient = read(path, skip=True)
    assert lenient
    assert read(path, skip=False) in (None, lenient)


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("tail", [b"0" * (64 << 20), b"\n" * (1 << 19), b"[" * (64 << 20), b"oops\n" * (1 << 16)])
def test_memory_is_bounded(tmp_path: Path, tail: bytes) -> None:
    """By the longest line there may be, a few times over, whatever the file's length."""
    path = tmp_path / "t"
    path.write_bytes(gzip.compress(OURS + tail + b"\n" + OURS, 1))
    del tail
    assert peak_bytes(lambda: read(path, skip=False)) < 20 << 20
    assert peak_bytes(lambda: read(path, skip=True)) < 20 << 20
    assert len(read(path, skip=True) or []) == 2
