"""Azure's LLM inference traces: `TIMESTAMP,ContextTokens,GeneratedTokens`, wall time with up to nine digits of a
second.

The first row is the start of the trace. Instants are kept in whole nanoseconds until they are relative to it, so
seven digits survive. Sources: https://github.com/Azure/AzurePublicDataset (2023 and 2024 inference traces; the latter
add an offset).
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import IO

from penstock.errors import InputError
from penstock.workload.arrival import Arrival
from penstock.workload.trace_lines import TraceLines, check_order, check_tokens, shown

NAME = "azure"
_HEADER = (b"TIMESTAMP", b"ContextTokens", b"GeneratedTokens")
_TIME = re.compile(
    rb"(\d{4}-\d\d-\d\d)[ T]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):?([0-5]\d))?"
)
_PLAIN_TIME = re.compile(rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d{7}")  # as published: seven digits, no offset
_MINUTE_NS = 60 * 10**9
_WRITTEN_FROM = date(2000, 1, 1)  # traces that we write have no wall time of their own


def matches(first_line: bytes) -> bool:
    """Whether a file with this first line is ours."""
    return tuple(field.strip() for field in first_line.removeprefix(b"\xef\xbb\xbf").split(b",")) == _HEADER


def read(lines: TraceLines, *, seed: int) -> Iterator[Arrival]:
    """Yield the requests. `seed` is not needed: nothing here is drawn. Raises: InputError, at the first bad line."""
    del seed
    days: dict[bytes, int] = {}  # at most one entry a day of the trace
    start_ns: int | None = None
    previous_s = 0.0
    minute, minute_ns = b"", 0  # the last row's, to its colon, and when it began: most rows share it
    numbered = iter(lines)
    next(numbered, None)
    for number, line in numbered:
        fields = line.split(b",")
        if len(fields) != 3:
            raise InputError(
                lines.at(number),
                f"{len(fields)} fields in {shown(line)!r}",
                "give TIMESTAMP,ContextTokens,GeneratedTokens",
            )
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
        if start_ns is None:
            start_ns = at_ns
        arrival_s = (at_ns - start_ns) / 1e9
        if arrival_s < previous_s:
            check_order(arrival_s, previous_s, lines.at(number))
        previous_s = arrival_s
        yield Arrival(
            arrival_s,
            _count(fields[1], "ContextTokens", lines, number),
            _count(fields[2], "GeneratedTokens", lines, number),
        )


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


def _nanoseconds(field: bytes, days: dict[bytes, int], lines: TraceLines, number: int) -> int:
    found = _TIME.fullmatch(field.strip())
    fix = "give it as 2023-11-16 18:17:03.9799600"
    if found is None:
        raise InputError(lines.at(number), f"no time in {shown(field)!r}", fix)
    day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = found.groups()
    ordinal = days.get(day)
    if ordinal is None:
        try:
            ordinal = days[day] = date.fromisoformat(day.decode()).toordinal()
        except ValueError as error:
            raise InputError(lines.at(number), f"no such day: {shown(day)}", fix) from error
    seconds = ordinal * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign is not None:
        offset_s = int(offset_hours) * 3600 + int(offset_minutes) * 60
        seconds += -offset_s if sign == b"+" else offset_s
    return seconds * 10**9 + (int(fraction.ljust(9, b"0")) if fraction else 0)


def _count(field: bytes, name: str, lines: TraceLines, number: int) -> int:
    if not field.isdigit():
        field = field.strip()
    if field.isdigit() and len(field) < 10:
        value = int(field)
        return value if 0 < value <= 1_000_000 else check_tokens(value, name, lines.at(number))
    return check_tokens(shown(field), name, lines.at(number))
