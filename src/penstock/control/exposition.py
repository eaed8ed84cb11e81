"""Prometheus' text format in; the few series that we read out. The edge: after it, only finite numbers of known names.

A worker says some 400 lines and we want twenty, once a second from each, so lines of other names are dropped unread.
Whatever cannot be used (NaN, infinity, garbage, a cut-off line) is left out, never made 0: what reads it then knows
that there is no data.

Source: prometheus.io/docs/instrumenting/exposition_formats (text format 0.0.4).
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*$")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"\\": "\\", '"': '"', "n": "\n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One sample line."""

    name: str
    labels: Mapping[str, str]
    value: float


class Counts(Protocol):
    """What a process counts, as a view reads it: from a scrape, or from a virtual process without text in between."""

    def total(self, name: str) -> float | None:
        """The sum over all label sets; None if there is none."""

    def by(self, name: str, label: str) -> Mapping[str, float]:
        """Sums by one label's value."""

    def buckets(self, histogram: str) -> Mapping[float, float]:
        """Cumulative counts by upper bound, summed over label sets; empty if there are none."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one process said at one moment; series that could not be read are not in it."""

    series: tuple[Series, ...] = ()

    def named(self, name: str) -> Iterator[Series]:
        """The series of that name."""
        return (series for series in self.series if series.name == name)

    def total(self, name: str) -> float | None:
        """The sum over all label sets; None if there is none."""
        values = [series.value for series in self.named(name)]
        return math.fsum(values) if values else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by one label's value."""
        sums: dict[str, float] = {}
        for series in self.named(name):
            key = series.labels.get(label, "")
            sums[key] = sums.get(key, 0.0) + series.value
        return sums

    def buckets(self, histogram: str) -> dict[float, float]:
        """Cumulative counts by upper bound, summed over label sets; empty if there are none."""
        counts: dict[float, float] = {}
        for series in self.named(f"{histogram}_bucket"):
            bound = _bound(series.labels.get("le", ""))
            if bound is not None:
                counts[bound] = counts.get(bound, 0.0) + series.value
        return counts


def parse_exposition(text: str, wanted: frozenset[str]) -> Scrape:
    """Read the series of the wanted names. Never raises: garbage is left out."""
    found: list[Series] = []
    for line in text.split("\n"):
        end = line.find("{")
        name = line[:end] if end > 0 else line.partition(" ")[0]
        if name not in wanted:
            continue
        match = _LINE.match(line)
        value = _finite(match[3]) if match else None
        if match and value is not None:
            labels = {label: _unescape(quoted) for label, quoted in _LABEL.findall(match[2] or "")}
            found.append(Series(name=match[1], labels=labels, value=value))
    return Scrape(tuple(found))


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[0]), text) if "\\" in text else text
