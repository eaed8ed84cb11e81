"""Options that several commands share: which stretch of which trace, and what surrounds a virtual deployment."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.output import note
from penstock.errors import InputError
from penstock.messages.scaling_spec import planner_of
from penstock.messages.spec import DeploymentBody
from penstock.simulator.workload_source import WorkloadSource

TRACE_HELP = (
    "A file (Azure CSV, Mooncake JSONL, Penstock JSONL, or YAML of kind Workload), or the name of a trace that ships."
)
TraceOption = Annotated[str, typer.Option(help=TRACE_HELP)]
StartOption = Annotated[float, typer.Option(help="Where in the trace to begin, in its seconds.")]
DurationOption = Annotated[float | None, typer.Option(min=0, help="How much of it, in its seconds; default: all.")]
SeedsOption = Annotated[
    int, typer.Option(min=1, max=1000, help="Runs, each with its own seed and profile error; gives a band.")
]
SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out rows that are wrong, and say how many of which kind.")
]
HistoryOption = Annotated[
    str | None,
    typer.Option(
        help="A trace of the demand before, which planners learn from: it ends where the run begins. Nothing is sent.",
        show_default=False,
    ),
]
SpeedOption = Annotated[float, typer.Option(help="Times as fast: 2 doubles the rate.")]
WorldOption = Annotated[
    Path | None, typer.Option(help="Nodes, delays and metrics (kind VirtualCluster); default: as `up` has them.")
]


def following(source: WorkloadSource, history: str, specs: Iterable[DeploymentBody]) -> WorkloadSource:
    """The workload with demand before it. Raises: InputError, where no pool would learn from that."""
    planned = (planner_of(pool.autoscaling) for spec in specs for pool in spec.pools)
    if not any(rules is not None and rules.seasons for rules in planned):
        fix = "set autoscaling.seasons: true on a pool by planner, or leave it out"
        raise InputError("--history", "no pool of the deployment learns from it", fix)
    return source.following(history)


def tell_skipped(source: WorkloadSource, command: str) -> dict[str, Any]:
    """Say on stderr which rows were left out. Returns: what a JSON document adds where rows may be left out."""
    for line in source.skipped.lines():
        note(f"{command}: {line}")
    return {"skipped_rows": source.skipped.document()} if source.skip_bad else {}
