"""How long a trace is, without reading all of it: its first two lines and its last are read as a trace of their own.
A workload file says how long it is.

For progress only: who reads the trace itself finds what is wrong with it.
"""

import math
import os
from collections.abc import Iterator
from itertools import islice

from penstock.errors import InputError
from penstock.workload.detect import FORMATS, MadeTrace, RecordedTrace, Trace
from penstock.workload.trace_lines import GZIP_MAGIC, MAX_LINE_BYTES, TraceLines
from penstock.workload.workload_spec import PartSpec

_TAIL_BYTES = 1 << 16


def span_s(trace: Trace) -> float | None:
    """Seconds from a trace's start to its last request; None, if that cannot be told cheaply (gzip) or is not there."""
    try:
        if isinstance(trace, MadeTrace):
            return _part_s(trace.spec, trace)
        last = _last_line(trace)
        if last is None:
            return None
        ends = _Ends(trace.lines, last)
        *_, arrival = FORMATS[trace.format_name].read(ends, seed=0)
    except (InputError, OSError, ValueError):
        return None
    return arrival.arrival_s


def _part_s(part: PartSpec, within: MadeTrace) -> float | None:
    """Of a part of a made workload, as it says itself; None, if a trace in it cannot be told."""
    if part.duration_s is not None:
        once_s: float | None = part.duration_s
    else:
        whole_s = _content_s(part, within)
        once_s = None if whole_s is None else max(0.0, whole_s - part.start_s)
    return None if once_s is None else part.delay_s + part.repeat * once_s / part.speed


def _content_s(part: PartSpec, within: MadeTrace) -> float | None:
    if part.generate is not None:
        return part.generate.duration_s
    if part.trace is not None:
        return span_s(within.open(part.trace))
    parts = [_part_s(below, within) for below in (*part.phases, *part.overlay)]
    known = [each for each in parts if each is not None]
    if len(known) < len(parts):
        return None
    return sum(known) if part.phases else max(known)


class _Ends(TraceLines):
    """The first two lines of a file, and its last."""

    longest_silence_s = math.inf

    def __init__(self, lines: TraceLines, last: bytes) -> None:
        super().__init__(lines.path, name=lines.name)
        self._last = last

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for number, line in islice(super().__iter__(), 3):
            yield number, line if number < 3 else self._last


def _last_line(trace: RecordedTrace) -> bytes | None:
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
