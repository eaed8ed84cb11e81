"""`penstock trace`: what a workload looks like, in another format, or made up."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import note, print_document, print_text
from penstock.cli.trace_options import JsonOption, OutOption, SeedOption, write_whole
from penstock.cli.trace_synthesize import synthesize
from penstock.cli.workload_options import (
    TRACE_HELP,
    DurationOption,
    SkipBadOption,
    SpeedOption,
    StartOption,
    tell_skipped,
)
from penstock.simulator.workload_source import WorkloadSource
from penstock.workload import azure, mooncake, penstock_jsonl
from penstock.workload.bad_rows import SkippedRows
from penstock.workload.detect import FORMATS, open_trace
from penstock.workload.stats import WorkloadStats, workload_stats
from penstock.workload.stats_page import stats_page
from penstock.workload.stats_table import stats_table

trace = typer.Typer(help="Workloads: what they look like, other formats, made ones.", no_args_is_help=True)
trace.command()(synthesize)

_Trace = Annotated[str, typer.Argument(help=TRACE_HELP)]


class _Format(StrEnum):
    AZURE = azure.NAME
    MOONCAKE = mooncake.NAME
    PENSTOCK = penstock_jsonl.NAME


@trace.command()
def stats(
    trace: _Trace,
    start_s: StartOption = 0.0,
    duration_s: DurationOption = None,
    speed: SpeedOption = 1.0,
    seed: SeedOption = 0,
    skip_bad: SkipBadOption = False,
    plot: Annotated[Path | None, typer.Option(help="Write a page with charts here.")] = None,
    json: JsonOption = False,
) -> None:
    """Counts, rates by minute, lengths, burstiness, ideal prefix reuse."""
    format_name = open_trace(trace, skipped=SkippedRows() if skip_bad else None).format_name
    source = WorkloadSource(
        trace=trace, start_s=start_s, duration_s=duration_s, speed=speed, seed=seed, skip_bad=skip_bad
    )
    found = workload_stats(source.arrivals())
    skipped = tell_skipped(source, "penstock trace")
    if plot is not None:
        write_whole(plot, lambda file: file.write(stats_page(trace, format_name, found).encode()))
        note(f"wrote {plot}")
    if json:
        print_document({"trace": trace, "format": format_name, **_document(found), **skipped})
    else:
        print_text(stats_table(trace, format_name, found))


@trace.command()
def convert(
    trace: _Trace,
    to: Annotated[_Format, typer.Option("--to", help="The format to write.")],
    out: OutOption,
    start_s: StartOption = 0.0,
    duration_s: DurationOption = None,
    speed: SpeedOption = 1.0,
    seed: SeedOption = 0,
    skip_bad: SkipBadOption = False,
    json: JsonOption = False,
) -> None:
    """Write a trace, a stretch of it, or what a workload file makes, in a format for traces."""
    source = WorkloadSource(
        trace=trace, start_s=start_s, duration_s=duration_s, speed=speed, seed=seed, skip_bad=skip_bad
    )
    count = write_whole(out, lambda file: FORMATS[to].write(source.arrivals(), file))
    skipped = tell_skipped(source, "penstock trace")
    if to is _Format.AZURE:
        note("penstock trace: the Azure format has no prefixes; they are left out, if there were any")
    if json:
        print_document({"out": str(out), "requests": count, **skipped})
    else:
        print_text(f"wrote {count:,} requests to {out}")


def _document(found: WorkloadStats) -> dict[str, object]:
    document = asdict(found)
    document["dispersion"] = {f"{window_s}_s": value for window_s, value in found.dispersion.items()}
    return document
