"""Opens a trace: a file, known by its content, or one that ships with the package, known by its name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from penstock.errors import InputError
from penstock.workload import azure, mooncake, penstock_jsonl, workload_file
from penstock.workload.arrival import Arrival
from penstock.workload.bad_rows import SkippedRows
from penstock.workload.compose import compose
from penstock.workload.trace_lines import TraceLines, shown
from penstock.workload.workload_spec import WorkloadBody

SHIPPED = {"azure-code-excerpt": Path(__file__).parent / "data" / "azure_code_excerpt.csv"}


class TraceFormat(Protocol):
    """A file format of recorded workloads: each of its modules is one."""

    NAME: str

    def matches(self, first_line: bytes) -> bool: ...
    def read(self, lines: TraceLines, *, seed: int) -> Iterator[Arrival]: ...
    def write(self, arrivals: Iterable[Arrival], file: IO[bytes]) -> int: ...


FORMATS: dict[str, TraceFormat] = {format_.NAME: format_ for format_ in (azure, mooncake, penstock_jsonl)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTrace:
    """A trace of known format.

    Args:
        name: as the user named it. format_name: azure, mooncake or penstock.
    """

    name: str
    format_name: str
    lines: TraceLines

    def arrivals(self, *, seed: int = 0) -> Iterator[Arrival]:
        """Yield its requests from the start, in order of time. Raises: InputError, at the first bad line."""
        return FORMATS[self.format_name].read(self.lines, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeTrace:
    """A workload file, which is played as it is read.

    Args:
        path: the file. within: the workload files that name it, outermost first.
    """

    name: str
    path: Path
    spec: WorkloadBody
    within: tuple[Path, ...]
    skipped: SkippedRows | None
    format_name: str = workload_file.NAME

    def arrivals(self, *, seed: int = 0) -> Iterator[Arrival]:
        """Yield its requests, as drawn by its own seed and this one. Raises: InputError, as its traces do."""
        return compose(self.spec, seed=seed, open_trace=lambda trace: self.open(trace).arrivals(seed=seed))

    def open(self, trace: str) -> "Trace":
        """A trace that it names. Raises: InputError, as `open_trace` does, or if it names itself."""
        beside = self.path.parent / trace
        within = (*self.within, self.path.resolve())
        path = beside if beside.exists() else Path(trace)
        return _open(path, name=f"{self.name}: {trace}", within=within, skipped=self.skipped)


Trace = RecordedTrace | MadeTrace


def open_trace(source: str | Path, *, skipped: SkippedRows | None = None) -> Trace:
    """Find and recognise a trace. A file wins over a shipped trace of the same name.

    Args:
        skipped: counts bad rows, which are then passed over; None: the first one ends the reading.
    Raises: InputError, if it cannot be read, is empty, or is in no format that we know.
    """
    return _open(Path(source), name=str(source), within=(), skipped=skipped)


def _open(path: Path, *, name: str, within: tuple[Path, ...], skipped: SkippedRows | None) -> Trace:
    if not path.exists():
        if str(path) not in SHIPPED:
            raise InputError(name, "no such trace", f"give a file, or a trace that ships: {', '.join(SHIPPED)}")
        path = SHIPPED[str(path)]
    lines = TraceLines(path, name=name, skipped=skipped)
    first = lines.first()
    if workload_file.matches(first[0]):
        if path.resolve() in within:
            raise InputError(name, "plays itself", "name another trace there")
        spec = workload_file.parse_workload(path, name=name)
        return MadeTrace(name=name, path=path, spec=spec, within=within, skipped=skipped)
    for line in first:
        for format_name, format_ in FORMATS.items():
            if format_.matches(line):
                return RecordedTrace(name=name, format_name=format_name, lines=lines)
    raise InputError(
        lines.at(1),
        f"no trace format begins with {shown(first[0])!r}",
        "give Azure CSV (TIMESTAMP,ContextTokens,GeneratedTokens), Mooncake JSONL (timestamp, input_length, "
        "output_length, hash_ids), Penstock JSONL (arrival_s, input_tokens, output_tokens) or a workload file (kind "
        "Workload)",
    )
