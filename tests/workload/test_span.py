"""How long a trace is, from its ends: the same as reading it all."""

import gzip
from pathlib import Path

import pytest

from penstock.simulator.workload_source import WorkloadSource
from penstock.workload.arrival import Arrival
from penstock.workload.detect import FORMATS, open_trace
from penstock.workload.span import span_s


def written(path: Path, name: str, count: int, blocks: int = 1) -> Path:
    arrivals = [
        Arrival(0.5 * place, 512 * blocks, 3, tuple(range(place, place + blocks)), 512) for place in range(count)
    ]
    with path.open("wb") as file:
        FORMATS[name].write(arrivals, file)
    return path


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize(("count", "blocks"), [(1, 1), (2, 1), (3, 1), (4000, 1), (6, 15_000)])
def test_it_is_the_last_requests_time(tmp_path: Path, name: str, count: int, blocks: int) -> None:
    """In every format, for files of one line and of lines longer than what is read at first."""
    path = written(tmp_path / "trace", name, count, blocks)
    assert span_s(open_trace(path)) == pytest.approx([each.arrival_s for each in open_trace(path).arrivals()][-1])


def test_what_cannot_be_told_is_none_and_no_error(tmp_path: Path) -> None:
    """A compressed trace; one whose last line is broken: whoever reads it will say so."""
    path = written(tmp_path / "trace", "penstock", 5)
    packed = tmp_path / "trace.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert span_s(open_trace(packed)) is None
    path.write_bytes(path.read_bytes() + b'{"arrival_s": ')
    assert span_s(open_trace(path)) is None


def test_a_stretch_takes_its_share(tmp_path: Path) -> None:
    """Of a trace of 100 s: from where, how much, how fast; no more than there is."""
    path = str(written(tmp_path / "trace", "penstock", 201))
    lengths = [
        WorkloadSource(trace=path, **given).length_s()
        for given in ({}, {"start_s": 40.0}, {"start_s": 40.0, "duration_s": 20.0, "speed": 2.0}, {"duration_s": 500.0})
    ]
    assert lengths == [100.0, 60.0, 10.0, 100.0]


def test_a_workload_file_says_how_long_it_is(tmp_path: Path) -> None:
    """As the sum and the longest of its parts; None, if a trace in it cannot be told."""
    trace = written(tmp_path / "t.jsonl", "penstock", 201)
    path = tmp_path / "w.yaml"
    spec = """{phases: [{trace: %s, speed: 2, repeat: 3}, {overlay: [{generate: {durationSeconds: 7}}, {delaySeconds: 2,
      trace: t.jsonl, durationSeconds: 6}]}]}"""
    path.write_text(f"apiVersion: penstock.dev/v1alpha1\nkind: Workload\nspec: {spec % 't.jsonl'}\n")
    assert span_s(open_trace(path)) == pytest.approx(158)
    (tmp_path / "t.gz").write_bytes(gzip.compress(trace.read_bytes()))
    path.write_text(path.read_text().replace("trace: t.jsonl, speed", "trace: t.gz, speed"))
    assert span_s(open_trace(path)) is None
