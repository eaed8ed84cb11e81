"""`penstock simulate`: a deployment over a workload in virtual time, before it meets a GPU."""

import json as json_module
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import IO, Annotated

import typer

from penstock.cli.output import note, print_document, print_text, read_spec, read_text
from penstock.cli.result_table import result_table
from penstock.cli.workload_options import DurationOption, SpeedOption, StartOption, TraceOption, WorldOption
from penstock.control.loop import Listener
from penstock.errors import InputError
from penstock.messages.confidence import Confidence
from penstock.messages.observation import Observation
from penstock.messages.outcome import RequestOutcome
from penstock.messages.result import Result
from penstock.messages.spec import DeploymentBody
from penstock.simulator.compare import Job
from penstock.simulator.parse_world import parse_world
from penstock.simulator.records import Records
from penstock.simulator.run import simulate as run
from penstock.simulator.seeds import band, further_jobs, run_all
from penstock.simulator.workload_source import WorkloadSource
from penstock.telemetry.journal import Journal
from penstock.telemetry.report import REPORT, REQUESTS, SUMMARY, write_report
from penstock.telemetry.requests_file import outcome_to_line
from penstock.telemetry.run_info import RunInfo, write_run_info
from penstock.telemetry.summary import result_to_json

_SHOW_AFTER_S, _SHOW_EVERY_S = 2.0, 2.0


def simulate(
    spec: Annotated[Path, typer.Argument(help="Deployment file (examples/ has some).", show_default=False)],
    trace: TraceOption,
    start_s: StartOption = 0.0,
    duration_s: DurationOption = None,
    speed: SpeedOption = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of every delay and jitter that is drawn.")] = 0,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Runs, each with its own seed and profile error; gives a band.")
    ] = 1,
    world: WorldOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the record and the report.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run a deployment over a workload in virtual time, with the code that decides in production.

    The same seed gives the same bytes. With --seeds the figures are those of the first run; beside them stands the band
    in which those of all runs lie: further seeds, and step times off by what their profile may be off.
    """
    deployment = read_spec(spec)
    errors = _step_time_errors(deployment.spec)
    surroundings = parse_world(read_text(world, "world"), source=str(world)) if world is not None else None
    source = WorkloadSource(trace=trace, start_s=start_s, duration_s=duration_s, speed=speed, seed=seed)
    arrivals = source.arrivals()
    listeners: list[Listener] = [_Progress()]
    with ExitStack() as stack:
        others: Iterator[Result] = iter(())
        if seeds > 1:
            pool = stack.enter_context(ProcessPoolExecutor(max_workers=min(seeds - 1, os.cpu_count() or 1)))
            job = Job(spec=deployment.spec, source=source, world=surroundings)
            others = run_all(further_jobs(job, errors, seeds=seeds), pool)
        records = Records(deployment.spec.slo)
        if out is not None:
            _begin_record(out, read_text(spec, "deployment"), seed)
            file = stack.enter_context((out / REQUESTS).open("wb"))
            records = Records(deployment.spec.slo, tell=lambda outcome: _write(file, outcome))
            listeners.append(stack.enter_context(closing(Journal(out))))
        result = run(
            deployment.spec,
            arrivals,
            world=surroundings,
            seed=seed,
            listeners=listeners,
            records=records,
        ).result
        result = _with_band(replace(result, step_time_error=errors or None), others, seeds)
    document = result_to_json(result)
    if out is not None:
        (out / SUMMARY).write_text(json_module.dumps(document, indent=2) + "\n", encoding="utf-8")
        note(f"penstock simulate: the report is {write_report(out)}, its data beside it")
    if json:
        print_document(document)
    else:
        print_text(result_table(result))


def _step_time_errors(spec: DeploymentBody) -> dict[str, Confidence]:
    if all(pool.engine.profile is None for pool in spec.pools):
        return {}
    from penstock.cli.profiles import confidences

    return confidences(spec)


def _with_band(first: Result, others: Iterable[Result], seeds: int) -> Result:
    results = [first]
    for other in others:
        results.append(other)
        note(f"penstock simulate: {len(results)} of {seeds} runs done")
    return first if seeds == 1 else replace(first, seeds=seeds, band=band(results))


class _Progress:
    """A listener: a line every few seconds of a run that takes long."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._next_s = self._began_s + _SHOW_AFTER_S

    def observed(self, observation: Observation) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _SHOW_EVERY_S
        took_s = now_s - self._began_s
        arrived = observation.totals.get("requests_received", 0.0)
        note(
            f"penstock simulate: {observation.time_s:,.0f} s of the trace, {arrived:,.0f} requests, "
            f"{arrived / took_s:,.0f} a second"
        )

    def decided(self, decision: object) -> None:
        """Shown by others."""


def _write(file: IO[bytes], outcome: RequestOutcome) -> None:
    file.write(outcome_to_line(outcome))


def _begin_record(out: Path, spec: str, seed: int) -> None:
    """Make the folder that of this run: how it was made, and nothing of an earlier one."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for earlier in (REQUESTS, SUMMARY, REPORT):
            (out / earlier).unlink(missing_ok=True)
        write_run_info(out, RunInfo(command=("penstock", *sys.argv[1:]), spec=spec, seed=seed))
    except OSError as error:
        raise InputError(f"--out {out}", f"cannot be written ({error.strerror})", "name a folder that can") from error
