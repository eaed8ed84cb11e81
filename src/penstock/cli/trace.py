"""`penstock trace`: what a workload looks like, in another format, or made up."""

from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import typer

from penstock.cli.output import note, print_document, print_text
from penstock.errors import InputError
from penstock.workload import azure, mooncake, penstock_jsonl
from penstock.workload.arrival import BLOCK_TOKENS
from penstock.workload.detect import FORMATS, open_trace
from penstock.workload.pace import Pace, Shape
from penstock.workload.stats import WorkloadStats, workload_stats
from penstock.workload.stats_page import stats_page
from penstock.workload.stats_table import stats_table
from penstock.workload.synthesize import LengthLaw, Recipe
from penstock.workload.synthesize import synthesize as make
from penstock.workload.window import window

trace = typer.Typer(help="Workloads: what they look like, other formats, made ones.", no_args_is_help=True)

_Trace = Annotated[
    str, typer.Argument(help="A file (Azure CSV, Mooncake JSONL, Penstock JSONL), or a trace that ships.")
]
_Start = Annotated[float, typer.Option("--start-s", help="Where in the trace to begin, in its seconds.")]
_Duration = Annotated[float | None, typer.Option("--duration-s", help="How much of it; default: all.")]
_Speed = Annotated[float, typer.Option("--speed", help="Times as fast: 2 doubles the rate.")]
_Seed = Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Out = Annotated[Path, typer.Option("--out", help="The file to write.")]


class _Format(StrEnum):
    AZURE = azure.NAME
    MOONCAKE = mooncake.NAME
    PENSTOCK = penstock_jsonl.NAME


@trace.command()
def stats(
    trace: _Trace,
    start_s: _Start = 0.0,
    duration_s: _Duration = None,
    speed: _Speed = 1.0,
    seed: _Seed = 0,
    plot: Annotated[Path | None, typer.Option(help="Write a page with charts here.")] = None,
    json: _Json = False,
) -> None:
    """Counts, rates by minute, lengths, burstiness, ideal prefix reuse."""
    opened = open_trace(trace)
    arrivals = window(opened.arrivals(seed=seed), start_s=start_s, duration_s=duration_s, speed=speed)
    found = workload_stats(arrivals)
    if plot is not None:
        _write(plot, lambda file: file.write(stats_page(trace, opened.format_name, found).encode()))
        note(f"wrote {plot}")
    if json:
        print_document({"trace": trace, "format": opened.format_name, **_document(found)})
    else:
        print_text(stats_table(trace, opened.format_name, found))


@trace.command()
def convert(
    trace: _Trace,
    to: Annotated[_Format, typer.Option("--to", help="The format to write.")],
    out: _Out,
    start_s: _Start = 0.0,
    duration_s: _Duration = None,
    speed: _Speed = 1.0,
    seed: _Seed = 0,
    json: _Json = False,
) -> None:
    """Write a trace, or a stretch of it, in another format."""
    arrivals = window(open_trace(trace).arrivals(seed=seed), start_s=start_s, duration_s=duration_s, speed=speed)
    count = _write(out, lambda file: FORMATS[to].write(arrivals, file))
    if to is _Format.AZURE:
        note("penstock trace: the Azure format has no prefixes; they are left out, if there were any")
    _wrote(out, count, json=json)


@trace.command()
def synthesize(
    out: _Out,
    duration_s: Annotated[float, typer.Option(help="How long requests come.")] = 600.0,
    rate: Annotated[float, typer.Option(help="Requests a second; of diurnal the lowest, of ramp the first.")] = 1.0,
    shape: Annotated[Shape, typer.Option(help="How the rate moves.")] = Shape.CONSTANT,
    peak: Annotated[float, typer.Option(help="Highest rate of diurnal and spike, last of ramp.")] = 0.0,
    period_s: Annotated[float, typer.Option(help="Seconds of one wave of the diurnal shape.")] = 86_400.0,
    spike_at_s: Annotated[float, typer.Option(help="When the spike begins.")] = 0.0,
    spike_for_s: Annotated[float, typer.Option(help="How long the spike lasts.")] = 60.0,
    cv: Annotated[float, typer.Option(help="Burstiness: 1 Poisson, above it gamma bursts, below it regular.")] = 1.0,
    input_tokens: Annotated[float, typer.Option(help="Mean new prompt tokens of a request.")] = 1000.0,
    input_tokens_cv: Annotated[
        float, typer.Option(help="Their spread: standard deviation over mean; 0: all alike.")
    ] = 1.0,
    output_tokens: Annotated[float, typer.Option(help="Mean output tokens.")] = 100.0,
    output_tokens_cv: Annotated[
        float, typer.Option(help="Their spread: standard deviation over mean; 0: all alike.")
    ] = 1.0,
    max_tokens: Annotated[int, typer.Option(help="Longest single prompt or output.")] = 16_384,
    system_prompts: Annotated[int, typer.Option(help="Different system prompts that requests share.")] = 0,
    system_tokens: Annotated[int, typer.Option(help="Length of each system prompt.")] = 0,
    turns: Annotated[float, typer.Option(help="Mean turns of a conversation whose history grows; 1: none.")] = 1.0,
    think_s: Annotated[float, typer.Option(help="Mean time from one turn to the next.")] = 30.0,
    max_context: Annotated[int, typer.Option(help="A conversation that would grow beyond it ends.")] = 32_768,
    block_tokens: Annotated[int, typer.Option(help="Tokens of a prefix block; Mooncake's have 512.")] = BLOCK_TOKENS,
    seed: _Seed = 0,
    json: _Json = False,
) -> None:
    """Make a workload and write it as Penstock JSONL."""
    recipe = Recipe(
        pace=Pace(
            duration_s=duration_s,
            rate=rate,
            peak=peak,
            shape=shape,
            period_s=period_s,
            spike_at_s=spike_at_s,
            spike_for_s=spike_for_s,
            cv=cv,
        ),
        new_tokens=LengthLaw(flag="--input-tokens", mean=input_tokens, cv=input_tokens_cv, most=max_tokens),
        output_tokens=LengthLaw(flag="--output-tokens", mean=output_tokens, cv=output_tokens_cv, most=max_tokens),
        system_prompts=system_prompts,
        system_tokens=system_tokens,
        turns=turns,
        think_s=think_s,
        max_context_tokens=max_context,
        block_tokens=block_tokens,
    )
    count = _write(out, lambda file: penstock_jsonl.write(make(recipe, seed=seed), file))
    _wrote(out, count, json=json)


def _write(path: Path, fill: Callable[[IO[bytes]], int]) -> int:
    """Write a file whole or not at all. Returns what `fill` does."""
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            with part.open("wb") as file:
                count = fill(file)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"--out {path}", f"cannot be written ({error.strerror})", "give a file of yours") from error
    return count


def _wrote(path: Path, count: int, *, json: bool) -> None:
    if json:
        print_document({"out": str(path), "requests": count})
    else:
        print_text(f"wrote {count:,} requests to {path}")


def _document(found: WorkloadStats) -> dict[str, object]:
    document = asdict(found)
    document["dispersion"] = {f"{window_s}_s": value for window_s, value in found.dispersion.items()}
    return document
