"""Rows of a trace that break a rule: the end of the reading, or passed over and counted.

What is counted is the kind of fault and the first row of each kind; memory does not grow with the number of bad rows.
"""

from dataclasses import dataclass
from enum import StrEnum

from penstock.errors import InputError


class Fault(StrEnum):
    """The ways in which a row can be wrong."""

    NO_ROW = "not of this format"
    FIELD_MISSING = "a field is missing"
    TIME = "a time that will not do"
    LENGTH = "a length that will not do"
    BLOCKS = "prefix blocks that will not do"
    ORDER = "out of order"
    LONG = "too long a line"


class BadRow(InputError):
    """One row is wrong. `where` names file and line."""

    def __init__(self, fault: Fault, where: str, what: str, fix: str) -> None:
        super().__init__(where, what, fix)
        self.fault = fault

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.fault, self.where, self.what, self.fix)


@dataclass(slots=True)
class _Kind:
    count: int
    first: str


class SkippedRows:
    """Bad rows that were passed over in one reading."""

    def __init__(self) -> None:
        self._kinds: dict[Fault, _Kind] = {}

    def add(self, row: BadRow) -> None:
        """Count one."""
        kind = self._kinds.setdefault(row.fault, _Kind(0, f"{row.where}: {row.what}"))
        kind.count += 1

    def clear(self) -> None:
        """Begin another reading."""
        self._kinds.clear()

    @property
    def count(self) -> int:
        """All of them."""
        return sum(kind.count for kind in self._kinds.values())

    def document(self) -> list[dict[str, object]]:
        """For programs: one entry a kind, in the order in which they were met."""
        return [{"fault": fault.value, "rows": kind.count, "first": kind.first} for fault, kind in self._kinds.items()]

    def lines(self) -> list[str]:
        """For people: one line a kind."""
        return [
            f"skipped {kind.count:,} row{'s' if kind.count > 1 else ''} ({fault.value}), the first: {kind.first}"
            for fault, kind in self._kinds.items()
        ]
