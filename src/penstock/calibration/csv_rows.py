"""Rows of a CSV file with a header, each field read with an error that names file, line and field."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from penstock.errors import InputError

_FIX = "give a file in a schema of shared measurements, as published"


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `where`: file and line."""

    where: str
    fields: Mapping[str, str]

    def text(self, name: str) -> str:
        """A field, "" if it is empty. Raises: InputError, if the file has no such column."""
        value = self.fields.get(name)
        if value is None:
            raise InputError(f"{self.where}: {name}", "is missing", "give every column of the header")
        return value.strip()

    def number(self, name: str, *, scale: float = 1.0) -> float:
        """A positive number. Raises: InputError."""
        value = self._float(name)
        if value <= 0:
            raise InputError(f"{self.where}: {name}", f"{value:g} will not do", "give a number above 0")
        return value * scale

    def instant(self, name: str) -> float:
        """A number that is not negative. Raises: InputError."""
        value = self._float(name)
        if value < 0:
            raise InputError(f"{self.where}: {name}", f"{value:g} will not do", "give a number of at least 0")
        return value

    def count(self, name: str, *, default: int | None = None) -> int:
        """A whole number above 0; `default` where the field is empty. Raises: InputError."""
        if default is not None and not self.text(name):
            return default
        value = self.number(name)
        if value != int(value) or value > 10**9:
            raise InputError(f"{self.where}: {name}", f"{value:g} is no count", "give a whole number")
        return int(value)

    def _float(self, name: str) -> float:
        text = self.text(name)
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"{self.where}: {name}", f"{text[:40]!r} is no number", "give a number") from None
        if not isfinite(value):
            raise InputError(f"{self.where}: {name}", f"{text} is no measurement", "give a finite number")
        return value


def read_rows(path: Path) -> tuple[tuple[str, ...], Iterator[Row]]:
    """The header, and the rows. Raises: InputError, if the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(str(path), f"cannot be read ({reason})", _FIX) from error
    lines = csv.reader(text.splitlines())
    header = tuple(field.strip() for field in next(lines, []))
    return header, _rows(path, header, lines)


def _rows(path: Path, header: tuple[str, ...], lines: Iterator[list[str]]) -> Iterator[Row]:
    for number, values in enumerate(lines, start=2):
        if any(values):
            yield Row(f"{path}:{number}", dict(zip(header, values, strict=False)))
