"""A trace file as numbered lines, plain or gzip, in constant memory; and the ways in which a line can be wrong.

Knows files and lines, not formats. Everything wrong is an `InputError` that names the file and the line. A bad row ends
the reading, or is counted and passed over where the caller wants that.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, cast

from penstock.errors import InputError
from penstock.workload.arrival import MAX_TOKENS
from penstock.workload.bad_rows import BadRow, Fault, SkippedRows

MAX_LINE_BYTES: Final = 4 * 1024 * 1024  # a prompt of 10 million tokens has 20,000 block ids, about 160 KB
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_SILENCE_S: Final = 7 * 86_400.0  # no log of a service is silent for longer; a wrong unit or year is
_TRIED: Final = 100  # first lines among which a format is looked for where bad rows are passed over


class TraceLines:
    """The lines of one file that are not blank, without their line ends. Can be iterated again and again.

    Args:
        path: the file. name: how errors call it.
        skipped: counts bad rows, which are then passed over; None: the first one ends the reading.
    """

    longest_silence_s = LONGEST_SILENCE_S

    def __init__(self, path: Path, *, name: str | None = None, skipped: SkippedRows | None = None) -> None:
        self.path = path
        self.name = name or str(path)
        self._skipped = skipped

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield (line number from 1, line). Raises: InputError, if it cannot be read."""
        try:
            with ExitStack() as stack:
                file = self._open(stack)
                number = 0
                while line := file.readline(MAX_LINE_BYTES):
                    number += 1
                    if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                        what = f"a line of more than {MAX_LINE_BYTES} bytes"
                        self.bad(BadRow(Fault.LONG, self.at(number), what, "give a text file, one request a line"))
                        while line and not line.endswith(b"\n"):
                            line = file.readline(MAX_LINE_BYTES)
                    elif line := line.strip():
                        yield number, line
        except FileNotFoundError as error:
            raise InputError(self.name, "no such file", "give the path of a trace") from error
        except IsADirectoryError as error:
            raise InputError(self.name, "is a folder", "give the path of a trace file") from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(self.name, f"broken gzip data ({error})", "fetch or compress the file again") from error
        except OSError as error:
            raise InputError(
                self.name, f"cannot be read ({error.strerror})", "check the path and its permissions"
            ) from error

    def bad(self, row: BadRow) -> None:
        """A row is wrong: count it. Raises: it, where bad rows are not passed over."""
        if self._skipped is None:
            raise row
        self._skipped.add(row)

    def first(self) -> list[bytes]:
        """The first line that is not blank, or several where bad rows are passed over. Raises: InputError, if none."""
        wanted = 1 if self._skipped is None else _TRIED
        lines = iter(self if self._skipped is None else TraceLines(self.path, name=self.name, skipped=SkippedRows()))
        try:
            found = [line for _, (_, line) in zip(range(wanted), lines, strict=False)]
        finally:
            lines.close()  # type: ignore[attr-defined]  # a generator: closes the file now, not when collected
        if not found:
            raise InputError(self.name, "is empty", "give a trace with at least one request")
        return found

    def at(self, number: int) -> str:
        """Name a line as errors do."""
        return f"{self.name} line {number}"

    def _open(self, stack: ExitStack) -> IO[bytes]:
        file = stack.enter_context(self.path.open("rb"))
        if file.peek(2)[:2] != GZIP_MAGIC:
            return file
        return cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=file)))


def check_tokens(value: object, field: str, where: str) -> int:
    """A token count of a line. Raises: BadRow, unless it is a whole number from 1 to MAX_TOKENS."""
    if type(value) is int and 1 <= value <= MAX_TOKENS:
        return value
    raise BadRow(Fault.LENGTH, where, f"{field} is {shown(value)}", f"give a whole number from 1 to {MAX_TOKENS}")


def check_step(arrival_s: float, previous_s: float, where: str, sort: str) -> None:
    """Raises: BadRow, if time goes back, or on by more than LONGEST_SILENCE_S.

    A stream cannot be sorted in constant memory, so we do not guess.

    Args:
        previous_s: of the row before; 0 for the first.
        sort: a command that sorts such a file, to be named in the error.
    """
    if arrival_s > previous_s + LONGEST_SILENCE_S:
        days = (arrival_s - previous_s) / 86_400
        raise BadRow(
            Fault.TIME, where, f"comes {days:,.0f} days after what is before it", "check the time and its unit"
        )
    if arrival_s < previous_s:
        raise BadRow(Fault.ORDER, where, f"time goes back by {previous_s - arrival_s:g} s", f"sort the file: {sort}")


def shown(value: object, limit: int = 60) -> str:
    """A value for an error message: one line, cut short."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else repr(value)
    text = "".join(char if char.isprintable() and char != "\ufffd" else "?" for char in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."
