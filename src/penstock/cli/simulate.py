"""`penstock simulate`: a deployment over a workload in virtual time, before it meets a GPU."""

import json as json_module
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Annotated

import typer

from penstock.cli.output import note, print_document, print_text, read_spec, read_text
from penstock.cli.result_table import result_table
from penstock.cli.workload_options import (
    DurationOption,
    SkipBadOption,
    SpeedOption,
    StartOption,
    TraceOption,
    WorldOption,
    tell_skipped,
)
from penstock.control.loop import Listener
from penstock.errors import InputError
from penstock.messages.observation import Observation
from penstock.messages.outcome import RequestOutcome
from penstock.simulator.parse_world import parse_world
from penstock.simulator.records import Records
from penstock.simulator.run import simulate as run
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
    skip_bad: SkipBadOption = False,
    world: WorldOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the record and the report.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run a deployment over a workload in virtual time, with the code that decides in production.

    The same seed gives the same bytes.
    """
    deployment = read_spec(spec)
    surroundings = parse_world(read_text(world, "world"), source=str(world)) if world is not None else None
    source = WorkloadSource(
        trace=trace, start_s=start_s, duration_s=duration_s, speed=speed, seed=seed, skip_bad=skip_bad
    )
    arrivals = source.arrivals()
    listeners: list[Listener] = [_Progress()]
    with ExitStack() as stack:
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
    document = {**result_to_json(result), **tell_skipped(source, "penstock simulate")}
    if out is not None:
        (out / SUMMARY).write_text(json_module.dumps(document, indent=2) + "\n", encoding="utf-8")
        note(f"penstock simulate: the report is {write_report(out)}, its data beside it")
    if json:
        print_document(document)
    else:
        print_text(result_table(result))


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
