"""Opens a trace: a file, known by its content, or one that ships with the package, known by its name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from penstock.errors import InputError
from penstock.workload import azure, mooncake, penstock_jsonl
from penstock.workload.arrival import Arrival
from penstock.workload.trace_lines import TraceLines, shown

SHIPPED = {"azure-code-excerpt": Path(__file__).parent / "data" / "azure_code_excerpt.csv"}


class TraceFormat(Protocol):
    """A file format of workloads: each of its modules is one."""

    NAME: str

    def matches(self, first_line: bytes) -> bool: ...
    def read(self, lines: TraceLines, *, seed: int) -> Iterator[Arrival]: ...
    def write(self, arrivals: Iterable[Arrival], file: IO[bytes]) -> int: ...


FORMATS: dict[str, TraceFormat] = {format_.NAME: format_ for format_ in (azure, mooncake, penstock_jsonl)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
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


def open_trace(source: str | Path) -> Trace:
    """Find and recognise a trace. A file wins over a shipped trace of the same name.

    Raises: InputError, if it cannot be read, is empty, or is in no format that we know.
    """
    path = Path(source)
    if not path.exists() and str(source) in SHIPPED:
        path = SHIPPED[str(source)]
    elif not path.exists():
        raise InputError(str(source), "no such trace", f"give a file, or a trace that ships: {', '.join(SHIPPED)}")
    lines = TraceLines(path, name=str(source))
    first = lines.first()
    for name, format_ in FORMATS.items():
        if format_.matches(first):
            return Trace(name=str(source), format_name=name, lines=lines)
    raise InputError(
        lines.at(1),
        f"no trace format begins with {shown(first)!r}",
        "give Azure CSV (TIMESTAMP,ContextTokens,GeneratedTokens), Mooncake JSONL (timestamp, input_length, "
        "output_length, hash_ids) or Penstock JSONL (arrival_s, input_tokens, output_tokens)",
    )
