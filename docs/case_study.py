"""Writes docs/case-study.md and its chart by simulation: `make case-study`. Takes about four minutes on two cores."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from penstock.messages.parse_spec import parse_spec
from penstock.messages.result import Result
from penstock.messages.spec import DeploymentBody
from penstock.simulator.jobs import Job, run_job
from penstock.simulator.parse_world import parse_world
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples" / "case-study"
HOURS = 1.5
COLOURS = {"ready": "#009E73", "desired": "#555555"}
Edit = Callable[[dict[str, Any], dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One run: a deployment, and what is changed of it and of its world."""

    title: str
    file: str
    edit: Edit = lambda scaling, world: None


def _value(scaling: dict[str, Any], world: dict[str, Any]) -> None:
    scaling["triggers"][0]["metricType"] = "Value"


def _long_window(scaling: dict[str, Any], world: dict[str, Any]) -> None:
    scaling["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": 900}}


def _queue(scaling: dict[str, Any], world: dict[str, Any]) -> None:
    scaling["triggers"] = [{"metric": "in_flight_requests", "threshold": 60}]


def _warm(scaling: dict[str, Any], world: dict[str, Any]) -> None:
    world["spec"]["nodePools"][0]["minNodes"] = 4


VARIANTS = (
    Variant(title="as published", file="keda.yaml"),
    Variant(title="`Value` instead of `AverageValue`", file="keda.yaml", edit=_value),
    Variant(title="down window of 15 min, longer than a start", file="keda.yaml", edit=_long_window),
    Variant(title="requests in flight instead of TTFT", file="keda.yaml", edit=_queue),
    Variant(title="four nodes kept warm", file="keda.yaml", edit=_warm),
    Variant(title="planner", file="planner.yaml"),
    Variant(title="planner, four nodes kept warm", file="planner.yaml", edit=_warm),
)


def load(variant: Variant) -> tuple[DeploymentBody, WorldSpec]:
    """The variant's deployment and world."""
    document = yaml.safe_load((EXAMPLES / variant.file).read_text())
    world = yaml.safe_load((EXAMPLES / "world.yaml").read_text())
    variant.edit(document["spec"]["components"][1]["autoscaling"], world)
    return (
        parse_spec(yaml.safe_dump(document), source=variant.file).spec,
        parse_world(yaml.safe_dump(world), source="world.yaml"),
    )


def run() -> list[Result]:
    """Every variant, over all cores."""
    source = WorkloadSource(trace=str(EXAMPLES / "workload.yaml"))
    jobs = []
    for variant in VARIANTS:
        spec, world = load(variant)
        jobs.append(Job(spec=spec, source=source, world=world))
    with ProcessPoolExecutor() as pool:
        return list(pool.map(run_job, jobs))


def table(results: Sequence[Result]) -> str:
    """A row for each variant."""
    lines = [
        "| | windows within target | requests within target | TTFT p95 | changes of the count | GPU-hours |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for variant, result in zip(VARIANTS, results, strict=True):
        assert result.slo is not None
        assert result.gpu_hours is not None
        lines.append(
            f"| {variant.title} | {result.slo.attainment:.1%} | {result.slo.requests_met:.1%} "
            f"| {result.ttft_s.p95:.3g} s | {result.scale_events} | {result.gpu_hours.total:.2f} |"
        )
    return "\n".join(lines)


def chart(results: Sequence[Result]) -> str:
    """Ready and desired replicas over time, one strip a variant, as SVG that reads on light and dark."""
    width, strip, left, right, top = 760, 64, 12, 12, 8
    height = top + strip * len(VARIANTS) + 24
    seconds = HOURS * 3600
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="11" role="img" aria-label="Replicas over time for each variant">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for row, (variant, result) in enumerate(zip(VARIANTS, results, strict=True)):
        assert result.replicas is not None
        base = top + strip * (row + 1) - 8

        def place(at_s: float, count: int, base: int = base) -> str:
            return f"{left + (width - left - right) * min(at_s, seconds) / seconds:.1f},{base - 9 * count:.1f}"

        changes = result.replicas["worker"]
        for kind, index in (("ready", 2), ("desired", 1)):
            points = [place(0, 0)] if kind == "ready" else []
            for number, change in enumerate(changes):
                until_s = changes[number + 1][0] if number + 1 < len(changes) else seconds
                points += [place(change[0], change[index]), place(until_s, change[index])]
            if kind == "ready":
                parts.append(f'<polygon points="{" ".join([*points, place(seconds, 0)])}" fill="{COLOURS[kind]}"/>')
            else:
                line = " ".join(points)
                parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[kind]}" stroke-dasharray="4 2"/>')
        attained = result.slo.attainment if result.slo is not None else 0.0
        title = variant.title.replace("`", "")
        parts.append(f'<text x="{left}" y="{base - 42}" fill="#222222">{title}: {attained:.0%} of windows</text>')
    for minutes in range(0, int(HOURS * 60) + 1, 15):
        x = left + (width - left - right) * minutes / (HOURS * 60)
        anchor = {0: "start", int(HOURS * 60): "end"}.get(minutes, "middle")
        parts.append(f'<text x="{x:.0f}" y="{height - 6}" text-anchor="{anchor}" fill="#555555">{minutes} min</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    found = run()
    (DOCS / "images" / "case-study.svg").write_text(chart(found))
    page = (DOCS / "case-study.md").read_text()
    begin, end = "<!-- made by `make case-study` -->", "<!-- end -->"
    head, _, rest = page.partition(begin)
    tail = rest.partition(end)[2]
    (DOCS / "case-study.md").write_text(f"{head}{begin}\n\n{table(found)}\n\n{end}{tail}")
    sys.stderr.write("wrote docs/case-study.md and docs/images/case-study.svg\n")
