"""Several deployments on one workload as one HTML file: ranked, with their curves on one time axis.

The document keeps `store` (one grid of instants for all: a column per deployment and figure, named `INDEX/FIGURE`) and
`windows` (the same over the edges of windows). What the yardsticks needed stands beside the replicas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from penstock.telemetry.overlay import Column, held_on, step_for
from penstock.telemetry.page_assets import page_text
from penstock.telemetry.page_document import page_document
from penstock.telemetry.ranking import Spent, Standing, ranking_sentence
from penstock.telemetry.report import REPORT, SCRIPTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The yardsticks. `need`, `optimum_counts`: replicas per window of `window_s`, of all pools together."""

    need: tuple[int, ...]
    optimum_counts: tuple[int, ...]
    window_s: float
    lead_s: float
    optimum: Spent
    hindsight: Standing
    hindsight_rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """All that the report shows.

    Args:
        ranked: the best first. overlays: by name, as `overlay.overlay` made them.
        attain: the share of windows that is enough. bounds: None, and `without_why`, where there are none.
    """

    ranked: Sequence[Standing]
    overlays: Mapping[str, Mapping[str, Any]]
    attain: float
    bounds: Bounds | None
    without_why: str | None


def write_comparison(folder: Path, compared: Compared) -> Path:
    """Write `report.html` into a folder; returns its path."""
    path = folder / REPORT
    document = describe(compared)
    text = page_document(
        page_text("comparison.html"),
        title="Penstock comparison",
        texts={"verdict": document["sentence"]},
        scripts=tuple(map(page_text, (*SCRIPTS, "comparison.js"))),
        data=document,
    )
    path.write_text(text, encoding="utf-8")
    return path


def describe(compared: Compared) -> dict[str, Any]:
    """The document behind the page, as plain values."""
    bounds = compared.bounds
    # In the order of the ranking: the best gets the strongest line.
    overlays = [compared.overlays[each.name] for each in compared.ranked]
    hindsight = bounds.hindsight if bounds is not None else None
    return {
        "sentence": ranking_sentence(compared.ranked, attain=compared.attain, hindsight=hindsight),
        "attain": compared.attain,
        "ranked": [asdict(each) for each in compared.ranked],
        "optimum": asdict(bounds.optimum) if bounds is not None else None,
        "lead_s": bounds.lead_s if bounds is not None else None,
        "hindsight": asdict(hindsight) if hindsight is not None else None,
        "hindsight_rule": bounds.hindsight_rule if bounds is not None else None,
        "without_why": compared.without_why,
        "runs": [
            {
                "name": each.name,
                "slo": run["meta"]["slo"],
                "pools": run["meta"]["pools"],
                "model": run["meta"]["model"],
                "verdict": run["verdict"],
                "info": run["info"],
                "gpu_hours": run["gpu_hours"],
                "decisions": run["decisions"],
                "missed": [window for window in run["windows"] if not window["met"]],
            }
            for each, run in zip(compared.ranked, overlays, strict=True)
        ],
        "store": _store(overlays, bounds),
        "windows": _windows(overlays),
    }


def _store(overlays: Sequence[Mapping[str, Any]], bounds: Bounds | None) -> dict[str, Any]:
    instants = {at_s for run in overlays for at_s in run["time_s"]}
    edges = [place * bounds.window_s for place in range(len(bounds.need) + 1)] if bounds is not None else []
    ends_s = max(instants, default=0.0)
    grid = sorted(instants | {edge for edge in edges if edge <= ends_s})
    series: dict[str, Column] = {}
    for index, run in enumerate(overlays):
        time_s = run["time_s"]
        step_s = step_for(time_s[-1] - time_s[0]) if time_s else 1.0
        for name, column in run["curves"].items():
            series[f"{index}/{name}"] = held_on(grid, time_s, column, step_s)
    if bounds is not None:
        for name, counts in (("need", bounds.need), ("optimum", bounds.optimum_counts)):
            series[name] = held_on(grid, edges, [*counts, 0], 0.0)
    return {"time_s": grid, "series": series}


def _windows(overlays: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Percentiles per window, on the edges of all windows: each value holds until the next edge."""
    edges: set[float] = set()
    for run in overlays:
        length_s = run["meta"]["slo"]["window_s"]
        edges.update(edge for window in run["windows"] for edge in (window["start_s"], window["start_s"] + length_s))
    grid = sorted(edges)
    series: dict[str, Column] = {}
    for index, run in enumerate(overlays):
        length_s = run["meta"]["slo"]["window_s"]
        for name in ("ttft_s", "itl_s"):
            value_at: dict[float, float | None] = {}
            for window in run["windows"]:
                value_at.setdefault(window["start_s"] + length_s, None)
                value_at[window["start_s"]] = window[name]
            starts = sorted(value_at)
            series[f"{index}/{name}"] = held_on(grid, starts, [value_at[at_s] for at_s in starts], 0.0)
    return {"time_s": grid, "series": series}
