"""Samples and queries, as Prometheus' engine is given them, and what it answers."""

import json
import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One series: a value at each instant, None for the stale marker."""

    labels: Mapping[str, str]
    times_ms: list[int]
    values: list[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scraped:
    """What a process said; no text is a scrape that failed."""

    at_ms: int
    instance: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Query:
    """One instant query."""

    expr: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What is stored."""

    series: Sequence[Given] = ()
    scrapes: Sequence[Scraped] = ()

    def line(self, queries: Sequence[Query]) -> str:
        """The store and what is asked of it, as the engine's program reads it."""
        document: dict[str, Any] = {
            "series": [
                {"labels": dict(one.labels), "times_ms": one.times_ms, "values": [_text(value) for value in one.values]}
                for one in self.series
            ],
            "scrapes": [{"at_ms": one.at_ms, "instance": one.instance, "text": one.text} for one in self.scrapes],
            "queries": [{"expr": query.expr, "at_ms": query.at_ms} for query in queries],
        }
        return json.dumps(document, separators=(",", ":")) + "\n"


Vector = dict[Labels, float]


def asked(binary: Path, stores: Sequence[Store], queries: Sequence[Sequence[Query]]) -> list[list[Vector]]:
    """The engine's answers: for each store, for each query, a vector by labels."""
    lines = "".join(store.line(wanted) for store, wanted in zip(stores, queries, strict=True))
    run = subprocess.run([binary], input=lines, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return [[_vector(elements) for elements in json.loads(line)] for line in run.stdout.splitlines()]


def close(ours: float | None, theirs: float | None) -> bool:
    """Equal to 1e-9; no element and NaN are each their own."""
    if ours is None or theirs is None:
        return ours is theirs
    if math.isnan(ours) or math.isnan(theirs):
        return math.isnan(ours) and math.isnan(theirs)
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)


def _vector(elements: list[dict[str, Any]]) -> Vector:
    return {
        frozenset((name, value) for name, value in element["labels"].items() if name != "__name__"): float(
            element["value"]
        )
        for element in elements
    }


def _text(value: float | None) -> str:
    return "stale" if value is None else repr(value)
