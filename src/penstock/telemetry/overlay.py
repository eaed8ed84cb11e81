"""What a comparison draws of one run: few curves on a coarse grid, its windows, what it changed. Pure.

The grid's step is a power of two seconds, so that grids of runs of about the same length fit into each other and can
share one time axis. Counts and money are those at the end of a step; of queues and KV use a step shows the largest,
so that no peak is lost.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAX_STEPS = 800  # more would not show on a screen
MAX_DECISIONS = 300  # the largest changes are kept
Column = list[float | None]
Fold = Callable[[list[float]], float]


def overlay(run: Mapping[str, Any]) -> dict[str, Any]:
    """Take what is drawn out of a described run (`report.describe_run`)."""
    history = run["history"]
    time_s: Sequence[float] = history["time_s"]
    step_s = step_for(time_s[-1] - time_s[0]) if time_s else 1.0
    pools = [pool["name"] for pool in history["meta"]["pools"]]

    def of(what: str) -> list[Column]:
        return [history["series"].get(f"pool/{pool}/{what}", []) for pool in pools]

    held: Column = history["series"].get("held", [])
    curves: dict[str, tuple[Column, Fold]] = {
        "ready": (_combined(sum, of("ready"), len(time_s)), _last),
        "queue": (_combined(sum, [*of("queue"), held], len(time_s)), _largest),
        "kv_usage": (_combined(_largest, of("kv_usage"), len(time_s)), _largest),
        "spent_usd": (history["series"].get("spent_usd", [None] * len(time_s)), _last),
    }
    steps: dict[int, list[int]] = {}
    for place, at_s in enumerate(time_s):
        steps.setdefault(int(at_s // step_s), []).append(place)
    changed = [each for each in history["decisions"] if each["current"] != each["desired"]]
    largest = sorted(changed, key=lambda each: -abs(each["current"] - each["desired"]))[:MAX_DECISIONS]
    return {
        "meta": history["meta"],
        "verdict": run["verdict"],
        "info": run["info"],
        "gpu_hours": run["summary"].get("gpu_hours"),
        "windows": [
            {name: window[name] for name in ("start_s", "ttft_s", "itl_s", "met", "requests")}
            for window in run["windows"]
        ],
        "time_s": [step * step_s for step in steps],
        "curves": {
            name: [_folded(column, each, fold) for each in steps.values()] for name, (column, fold) in curves.items()
        },
        "decisions": [
            {name: each[name] for name in ("time_s", "component", "current", "desired", "limited_by", "reason")}
            for each in sorted(largest, key=lambda each: float(each["time_s"]))
        ],
    }


def step_for(length_s: float) -> float:
    """The grid's step for a run of that length."""
    step_s = 1.0
    while length_s / step_s > MAX_STEPS:
        step_s *= 2
    return step_s


def held_on(grid: Sequence[float], time_s: Sequence[float], values: Sequence[float | None], step_s: float) -> Column:
    """A column on another grid: each instant shows the latest value; None before the first, a step past the last."""
    column: Column = []
    place = -1
    for at_s in grid:
        while place + 1 < len(time_s) and time_s[place + 1] <= at_s:
            place += 1
        over = place < 0 or (place == len(time_s) - 1 and at_s > time_s[-1] + step_s)
        column.append(None if over else values[place])
    return column


def _combined(how: Fold, columns: Sequence[Column], length: int) -> Column:
    found: Column = []
    for place in range(length):
        known = [value for column in columns if column and (value := column[place]) is not None]
        found.append(how(known) if known else None)
    return found


def _folded(column: Sequence[float | None], places: Sequence[int], fold: Fold) -> float | None:
    known = [value for place in places if (value := column[place]) is not None]
    return fold(known) if known else None


def _last(values: list[float]) -> float:
    return values[-1]


def _largest(values: list[float]) -> float:
    return max(values)
