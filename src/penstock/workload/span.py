"""How long a trace is, without reading all of it: its first two lines and its last are read as a trace of their own.

For progress only: who reads the trace itself finds what is wrong with it.
"""

import os
from collections.abc import Iterator
from itertools import islice

from penstock.errors import InputError
from penstock.workload.detect import FORMATS, Trace
from penstock.workload.trace_lines import GZIP_MAGIC, MAX_LINE_BYTES, TraceLines

_TAIL_BYTES = 1 << 16


def span_s(trace: Trace) -> float | None:
    """Seconds from a trace's start to its last request; None, if that cannot be told cheaply (gzip) or is not there."""
    try:
        last = _last_line(trace)
        if last is None:
            return None
        ends = _Ends(trace.lines, last)
        *_, arrival = FORMATS[trace.format_name].read(ends, seed=0)
    except (InputError, OSError, ValueError):
        return None
    return arrival.arrival_s


class _Ends(TraceLines):
    """The first two lines of a file, and its last."""

    def __init__(self, lines: TraceLines, last: bytes) -> None:
        super().__init__(lines.path, name=lines.name)
        self._last = last

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for number, line in islice(super().__iter__(), 3):
            yield number, line if number < 3 else self._last


def _last_line(trace: Trace) -> bytes | None:
    """From the end of the file back, until a whole line is found."""
    with trace.lines.path.open("rb") as file:
        if file.read(2) == GZIP_MAGIC:
            return None
        size = file.seek(0, os.SEEK_END)
        back = _TAIL_BYTES
        while True:
            file.seek(max(0, size - back))
            before, newline, last = file.read().rstrip().rpartition(b"\n")
            if newline or back >= size:
                return last or before or None
            if back > MAX_LINE_BYTES:
                return None
            back *= 4
