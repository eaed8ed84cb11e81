"""Azure's LLM inference traces: `TIMESTAMP,ContextTokens,GeneratedTokens`, wall time with up to nine digits of a
second.

The first row is the start of the trace. Instants are kept in whole nanoseconds until they are relative to it, so
seven digits survive. Sources: https://github.com/Azure/AzurePublicDataset (2023 and 2024 inference traces; the latter
add an offset).
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import IO, Final

from penstock.workload.arrival import Arrival
from penstock.workload.bad_rows import BadRow, Fault
from penstock.workload.trace_lines import TraceLines, check_step, check_tokens, shown

NAME = "azure"
_HEADER: Final = (b"TIMESTAMP", b"ContextTokens", b"GeneratedTokens")
_TIME = re.compile(
    rb"(\d{4}-\d\d-\d\d)[ T]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):?([0-5]\d))?"
)
_PLAIN_TIME = re.compile(rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d{7}")  # as published: seven digits, no offset
_MINUTE_NS: Final = 60 * 10**9
_SORT = "(head -n 1 FILE; tail -n +2 FILE | sort)"
_WRITTEN_FROM = date(2000, 1, 1)  # traces that we write have no wall time of their own


def matches(first_line: bytes) -> bool:
    """Whether a file with this first line is ours."""
    return tuple(field.strip() for field in first_line.removeprefix(b"\xef\xbb\xbf").split(b",")) == _HEADER


def read(lines: TraceLines, *, seed: int) -> Iterator[Arrival]:
    """Yield the requests. `seed` is not needed: nothing here is drawn. Raises: InputError, at the first bad line."""
    days: dict[bytes, int] = {}  # at most one entry a day of the trace
    start_ns: int | None = None
    previous_s = 0.0
    minute, minute_ns = b"", 0  # the last row's, to its colon, and when it began: most rows share it
    for number, line in _after_header(lines):
        try:
            fields = line.split(b",")
            if len(fields) != 3:
                raise _no_row(lines, number, f"{len(fields)} fields in {shown(line)!r}")
            stamp = fields[0]
            second, fraction = stamp[17:19], stamp[20:]
            if (
                stamp[:17] == minute
                and stamp[19:20] == b"."
                and second.isdigit()
                and second < b"60"
                and fraction.isdigit()
                and len(fraction) == 7
            ):
                at_ns = minute_ns + int(second) * 10**9 + int(fraction) * 100
            else:
                at_ns = _nanoseconds(stamp, days, lines, number)
                if _PLAIN_TIME.fullmatch(stamp):
                    minute, minute_ns = stamp[:17], at_ns - at_ns % _MINUTE_NS
            arrival_s = 0.0 if start_ns is None else (at_ns - start_ns) / 1e9
            if not previous_s <= arrival_s <= previous_s + lines.longest_silence_s:
                check_step(arrival_s, previous_s, lines.at(number), _SORT)
            prompt, output = fields[1], fields[2]
            if not (prompt.isdigit() and output.isdigit() and len(prompt) < 7 and len(output) < 7):
                prompt_tokens = output_tokens = 0
            else:  # a call for each would take as long as all else of a row
                prompt_tokens, output_tokens = int(prompt), int(output)
            arrival = Arrival(
                arrival_s,
                prompt_tokens or _count(prompt, "ContextTokens", lines, number),
                output_tokens or _count(output, "GeneratedTokens", lines, number),
            )
        except BadRow as bad:
            lines.bad(bad)
            continue
        if start_ns is None:
            start_ns = at_ns
        previous_s = arrival_s
        yield arrival


def write(arrivals: Iterable[Arrival], file: IO[bytes]) -> int:
    """Write them, rounded to 100 ns, without prefixes: the format has none. Returns: how many."""
    file.write(b",".join(_HEADER) + b"\n")
    count = 0
    for arrival in arrivals:
        ticks = round(arrival.arrival_s * 1e7)
        seconds, fraction = divmod(ticks, 10**7)
        days, seconds = divmod(seconds, 86_400)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        day = _WRITTEN_FROM + timedelta(days=days)
        row = f"{day} {hour:02}:{minute:02}:{second:02}.{fraction:07},{arrival.input_tokens},{arrival.output_tokens}\n"
        file.write(row.encode())
        count += 1
    return count


def _after_header(lines: TraceLines) -> Iterator[tuple[int, bytes]]:
    numbered = iter(lines)
    for number, line in numbered:
        if matches(line):
            break
        lines.bad(_no_row(lines, number, f"no header in {shown(line)!r}"))
    return numbered


def _no_row(lines: TraceLines, number: int, what: str) -> BadRow:
    return BadRow(Fault.NO_ROW, lines.at(number), what, "give TIMESTAMP,ContextTokens,GeneratedTokens")


def _nanoseconds(field: bytes, days: dict[bytes, int], lines: TraceLines, number: int) -> int:
    found = _TIME.fullmatch(field.strip())
    fix = "give it as 2023-11-16 18:17:03.9799600"
    if found is None:
        raise BadRow(Fault.TIME, lines.at(number), f"no time in {shown(field)!r}", fix)
    day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = found.groups()
    ordinal = days.get(day)
    if ordinal is None:
        try:
            ordinal = days[day] = date.fromisoformat(day.decode()).toordinal()
        except ValueError as error:
            raise BadRow(Fault.TIME, lines.at(number), f"no such day: {shown(day)}", fix) from error
    seconds = ordinal * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign is not None:
        offset_s = int(offset_hours) * 3600 + int(offset_minutes) * 60
        seconds += -offset_s if sign == b"+" else offset_s
    return seconds * 10**9 + (int(fraction.ljust(9, b"0")) if fraction else 0)


def _count(field: bytes, name: str, lines: TraceLines, number: int) -> int:
    if not field.isdigit():
        field = field.strip()
    if field.isdigit() and len(field) < 10:
        return check_tokens(int(field), name, lines.at(number))
    return check_tokens(shown(field), name, lines.at(number))
