"""What `planner_quality.py` has found so far: a file of JSON lines, so that a run that is cut short goes on.

A line is one run (`attainment`, `gpu_hours`, and of hindsight the optimum and static peak) or the needs of a workload.
The last of a kind counts.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[str, str, str]  # workload and seed; lead time or nothing; owner or "need"


@dataclass(slots=True)
class Results:
    """Everything found, in memory and in a file, if one is named."""

    path: Path | None = None
    found: dict[Key, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path | None) -> "Results":
        """With what is in the file already."""
        results = cls(path)
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                each = json.loads(line)
                results.found[tuple(each.pop("key"))] = each
        return results

    def note(self, key: Key, value: Mapping[str, Any]) -> None:
        """Remember it, in the file at once."""
        self.found[key] = dict(value)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps({"key": key, **value}) + "\n")


def table(results: Results, owners: Sequence[str]) -> Iterator[str]:
    """A Markdown table: GPU-hours, windows within target, and over the optimum."""
    yield "| workload, lead time | optimum | static peak | " + " | ".join(owners) + " |"
    yield "|---" * (3 + len(owners)) + "|"
    places = dict.fromkeys((workload, lead) for workload, lead, owner in results.found if owner != "need")
    for workload, lead in sorted(places, key=lambda place: (place[0], float(place[1]))):
        yardstick = results.found.get((workload, lead, "hindsight"), {})
        optimum = yardstick.get("optimum", float("nan"))
        cells = [f"{workload}, {lead} s", f"{optimum:.1f}", f"{yardstick.get('static', float('nan')):.1f}"]
        for owner in owners:
            run = results.found.get((workload, lead, owner))
            cells.append(told(run, optimum) if run is not None else "")
        yield "| " + " | ".join(cells) + " |"


def told(run: Mapping[str, Any], optimum: float) -> str:
    """GPU-hours, times the optimum, and windows within target."""
    if "failed" in run:
        return str(run["failed"])
    return f"{run['gpu_hours']:.1f} ({run['gpu_hours'] / optimum:.2f}), {100 * run['attainment']:.1f} %"
