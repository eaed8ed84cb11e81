"""`penstock simulate`: a deployment over a workload in virtual time, before it meets a GPU."""

import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import note, print_document, print_text, read_spec, read_text
from penstock.cli.progress import Progress, duration
from penstock.cli.result_table import result_table
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
from penstock.messages.result import Result
from penstock.simulator.jobs import Job
from penstock.simulator.parse_world import parse_world
from penstock.simulator.recorded_run import RunRecord, simulate_recorded
from penstock.simulator.run import simulate as run
from penstock.simulator.run_watch import RunWatch
from penstock.simulator.seeds import band, further_jobs, run_all
from penstock.simulator.workload_source import WorkloadSource
from penstock.telemetry.report import write_report
from penstock.telemetry.run_info import RunInfo
from penstock.telemetry.summary import result_to_json


def simulate(
    spec: Annotated[Path, typer.Argument(help="Deployment file (examples/ has some).", show_default=False)],
    trace: TraceOption,
    start_s: StartOption = 0.0,
    duration_s: DurationOption = None,
    speed: SpeedOption = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of every delay and jitter that is drawn.")] = 0,
    seeds: SeedsOption = 1,
    skip_bad: SkipBadOption = False,
    history: HistoryOption = None,
    world: WorldOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the record and the report.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run a deployment over a workload in virtual time, with the code that decides in production.

    The same seed gives the same bytes. With --seeds the figures are those of the first run; beside them stands the band
    in which those of all runs lie: further seeds, and step times off by what their profile may be off.
    """
    deployment = read_spec(spec).spec
    errors = step_time_errors(deployment)
    surroundings = parse_world(read_text(world, "world"), source=str(world)) if world is not None else None
    source = WorkloadSource(
        trace=trace, start_s=start_s, duration_s=duration_s, speed=speed, seed=seed, skip_bad=skip_bad
    )
    if history is not None:
        source = following(source, history, [deployment])
    arrivals = source.arrivals()  # a bad trace is said before anything else begins
    with ExitStack() as stack:
        others: Iterator[Result] = iter(())
        if seeds > 1:
            pool = stack.enter_context(ProcessPoolExecutor(max_workers=min(seeds - 1, os.cpu_count() or 1)))
            job = Job(spec=deployment, source=source, world=surroundings)
            others = run_all(further_jobs(job, errors, seeds=seeds), pool)

        def complete(first: Result) -> Result:
            return _with_band(replace(first, step_time_error=errors or None), others, seeds)

        watch = _watch(stack.enter_context(Progress("penstock simulate")), source)
        if out is not None:
            info = RunInfo(command=("penstock", *sys.argv[1:]), spec=read_text(spec, "deployment"), seed=seed)
            record = RunRecord(folder=out, info=info)
            result = simulate_recorded(
                deployment, source, record, world=surroundings, listeners=(watch,), complete=complete
            )
        else:
            result = complete(
                run(
                    deployment, arrivals, world=surroundings, seed=seed, listeners=(watch,), before=source.before
                ).result
            )
    skipped = tell_skipped(source, "penstock simulate")
    if out is not None:
        note(f"penstock simulate: the report is {write_report(out)}, its data beside it")
    if json:
        print_document({**result_to_json(result), **skipped})
    else:
        print_text(result_table(result))


def _watch(progress: Progress, source: WorkloadSource) -> RunWatch:
    length_s = source.length_s()
    of = f" of {duration(length_s)}" if length_s else ""

    def tell(time_s: float, requests: int) -> None:
        share = min(1.0, time_s / length_s) if length_s else None
        progress.show(share, f"{duration(time_s)}{of}", requests)

    return RunWatch(tell)


def _with_band(first: Result, others: Iterable[Result], seeds: int) -> Result:
    results = [first]
    for other in others:
        results.append(other)
        note(f"penstock simulate: {len(results)} of {seeds} runs done")
    return first if seeds == 1 else replace(first, seeds=seeds, band=band(results))
