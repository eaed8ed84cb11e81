"""`penstock compare`: several deployments on one workload, beside what would have been optimal."""

import json as json_module
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.compare_table import compare_table
from penstock.cli.output import note, print_document, print_text, read_spec, read_text
from penstock.cli.progress import Progress
from penstock.cli.step_time_errors import step_time_errors
from penstock.cli.workload_options import (
    DurationOption,
    HistoryOption,
    SeedsOption,
    SkipBadOption,
    SpeedOption,
    StartOption,
    TraceOption,
    WorldOption,
    following,
    tell_skipped,
)
from penstock.errors import InputError
from penstock.messages.spec import DeploymentBody
from penstock.simulator.compare import Comparison
from penstock.simulator.compare import compare as run
from penstock.simulator.parse_world import parse_world
from penstock.simulator.recorded_run import RunRecord
from penstock.simulator.watched_jobs import JobsSeen
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.yardsticks import ATTAIN, Yardsticks
from penstock.telemetry.comparison_report import Bounds, Compared, write_comparison
from penstock.telemetry.ranking import Spent, rank, standing
from penstock.telemetry.report import REPORT, SUMMARY
from penstock.telemetry.run_info import RunInfo
from penstock.telemetry.summary import result_to_json


def compare(
    specs: Annotated[list[Path], typer.Argument(help="Deployment files; the yardsticks take the first's engine.")],
    trace: TraceOption,
    start_s: StartOption = 0.0,
    duration_s: DurationOption = None,
    speed: SpeedOption = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of every delay and jitter that is drawn.")] = 0,
    seeds: SeedsOption = 1,
    skip_bad: SkipBadOption = False,
    history: HistoryOption = None,
    world: WorldOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report; each deployment's record goes into one of its own in it."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run several deployments over one workload in virtual time, rank them, and say how far from optimal each was.

    Those that attained 99 % of the windows come first, the cheapest on top; then the others, by attainment.
    With --seeds the figures are those of each deployment's first run, and beside them stands the band of all its runs.
    """
    named = _read(specs)
    source = WorkloadSource(
        trace=trace, start_s=start_s, duration_s=duration_s, speed=speed, seed=seed, skip_bad=skip_bad
    )
    if history is not None:
        source = following(source, history, named.values())
    for _ in source.arrivals():  # a bad row is told at once and once, not by other processes after minutes
        pass
    skipped = tell_skipped(source, "penstock compare")
    surroundings = parse_world(read_text(world, "world"), source=str(world)) if world is not None else None
    records = _begin_records(out, specs, seed) if out is not None else None
    with Progress("penstock compare") as progress:

        def watch(seen: JobsSeen) -> None:
            progress.show(seen.share, f"{seen.done} of {seen.jobs} runs", seen.requests)

        errors = {name: step_time_errors(spec) for name, spec in named.items()}
        comparison = run(
            named, source, world=surroundings, records=records, seeds=seeds, errors=errors, tell=_tell, watch=watch
        )
    if comparison.without_why is not None:
        note(f"penstock compare: no yardsticks, since {comparison.without_why}")
    bounds = _bounds(comparison.yardsticks) if comparison.yardsticks is not None else None
    ranked = rank(comparison.results, attain=ATTAIN, optimum=bounds.optimum if bounds is not None else None)
    document = {**_document(comparison, bounds), **skipped}
    if out is not None:
        (out / SUMMARY).write_text(json_module.dumps(document, indent=2) + "\n", encoding="utf-8")
        compared = Compared(
            ranked=ranked,
            overlays=comparison.overlays,
            attain=ATTAIN,
            bounds=bounds,
            without_why=comparison.without_why,
        )
        note(f"penstock compare: the report is {write_comparison(out, compared)}, each deployment's beside it")
    if json:
        print_document(document)
    else:
        print_text(compare_table(ranked, comparison.results, bounds))
    for name, error in comparison.failed.items():
        note(f"penstock compare: {name} failed: {error}")
    if comparison.failed:
        raise typer.Exit(2 if any(isinstance(error, InputError) for error in comparison.failed.values()) else 1)


def _read(specs: Sequence[Path]) -> dict[str, DeploymentBody]:
    named: dict[str, DeploymentBody] = {}
    for path in specs:
        deployment = read_spec(path)
        if path.stem in named:
            raise InputError(str(path), f"two deployments are called {path.stem}", "rename one of the files")
        named[path.stem] = deployment.spec
    return named


def _begin_records(out: Path, specs: Sequence[Path], seed: int) -> dict[str, RunRecord]:
    """A folder for each deployment, so that one that cannot be written is said before anything runs."""
    command = ("penstock", *sys.argv[1:])
    records = {}
    for path in specs:
        folder = out / path.stem
        if path.stem in (REPORT, SUMMARY):
            raise InputError(str(path), f"its folder would be called {path.stem}", "rename the file")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (out / REPORT).unlink(missing_ok=True)
            (out / SUMMARY).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"--out {out}", f"cannot be written ({error.strerror})", "name a folder that can"
            ) from error
        info = RunInfo(command=command, spec=read_text(path, "deployment"), seed=seed)
        records[path.stem] = RunRecord(folder=folder, info=info)
    return records


def _tell(line: str) -> None:
    note(f"penstock compare: {line}")


def _bounds(yardsticks: Yardsticks) -> Bounds:
    optimum = Spent(gpu_hours=yardsticks.gpu_hours, cost_usd=yardsticks.cost_usd)
    policy, result = yardsticks.hindsight.policy, yardsticks.hindsight.result
    return Bounds(
        need=yardsticks.need,
        optimum_counts=yardsticks.counts,
        window_s=yardsticks.window_s,
        lead_s=yardsticks.lead_s,
        optimum=optimum,
        hindsight=standing("hindsight", result, attain=ATTAIN, optimum=optimum),
        hindsight_rule=f"largest load of the last {policy.window_s:.0f} s x {policy.headroom:.2f}",
    )


def _document(comparison: Comparison, bounds: Bounds | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "deployments": {name: result_to_json(result) for name, result in comparison.results.items()}
    }
    if comparison.failed:
        document["failed"] = {name: str(error) for name, error in comparison.failed.items()}
    if comparison.without_why is not None:
        document |= {"optimum": None, "hindsight": None, "without_yardsticks": comparison.without_why}
    if bounds is not None and comparison.yardsticks is not None:
        policy, seen = comparison.yardsticks.hindsight.policy, bounds.hindsight
        document["optimum"] = {"gpu_hours": bounds.optimum.gpu_hours, "cost_usd": bounds.optimum.cost_usd}
        document["hindsight"] = {
            "gpu_hours": seen.gpu_hours or 0.0,
            "cost_usd": seen.cost_usd or 0.0,
            "headroom": policy.headroom,
            "window_s": policy.window_s,
            "attainment": seen.attainment or 0.0,
        }
    return document
