"""`penstock compare`: several deployments on one workload, beside what would have been optimal."""

from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.compare_table import compare_table
from penstock.cli.output import note, print_document, print_text, read_spec, read_text
from penstock.cli.workload_options import (
    DurationOption,
    SkipBadOption,
    SpeedOption,
    StartOption,
    TraceOption,
    WorldOption,
    tell_skipped,
)
from penstock.errors import InputError
from penstock.simulator.compare import Comparison
from penstock.simulator.compare import compare as run
from penstock.simulator.parse_world import parse_world
from penstock.simulator.workload_source import WorkloadSource
from penstock.telemetry.summary import result_to_json

_HOUR_S = 3600.0


def compare(
    specs: Annotated[list[Path], typer.Argument(help="Deployment files; the yardsticks take the first's engine.")],
    trace: TraceOption,
    start_s: StartOption = 0.0,
    duration_s: DurationOption = None,
    speed: SpeedOption = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of every delay and jitter that is drawn.")] = 0,
    skip_bad: SkipBadOption = False,
    world: WorldOption = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run several deployments over one workload in virtual time, and say how far from optimal each was."""
    named = {}
    for path in specs:
        deployment = read_spec(path)
        if path.stem in named:
            raise InputError(str(path), f"two deployments are called {path.stem}", "rename one of the files")
        named[path.stem] = deployment.spec
    source = WorkloadSource(
        trace=trace, start_s=start_s, duration_s=duration_s, speed=speed, seed=seed, skip_bad=skip_bad
    )
    for _ in source.arrivals():  # a bad row is told at once and once, not by other processes after minutes
        pass
    skipped = tell_skipped(source, "penstock compare")
    surroundings = parse_world(read_text(world, "world"), source=str(world)) if world is not None else None
    comparison = run(named, source, world=surroundings, tell=_tell)
    if comparison.without_why is not None:
        note(f"penstock compare: no yardsticks, since {comparison.without_why}")
    if json:
        print_document({**_document(comparison), **skipped})
    else:
        print_text(compare_table(comparison))


def _tell(line: str) -> None:
    note(f"penstock compare: {line}")


def _document(comparison: Comparison) -> dict[str, Any]:
    document: dict[str, Any] = {
        "deployments": {name: result_to_json(result) for name, result in comparison.results.items()}
    }
    yardsticks = comparison.yardsticks
    if yardsticks is not None:
        gpu_hours = yardsticks.optimum.total_s / _HOUR_S * yardsticks.gpus
        document["optimum"] = {"gpu_hours": gpu_hours, "cost_usd": gpu_hours * yardsticks.usd_per_gpu_hour}
        policy, result = yardsticks.hindsight.policy, yardsticks.hindsight.result
        document["hindsight"] = {
            "gpu_hours": result.gpu_hours.total if result.gpu_hours is not None else 0.0,
            "cost_usd": result.cost_usd or 0.0,
            "headroom": policy.headroom,
            "window_s": policy.window_s,
            "attainment": result.slo.attainment if result.slo is not None else 0.0,
        }
    return document
