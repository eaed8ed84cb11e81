"""Options that several commands share: which stretch of which trace, and what surrounds a virtual deployment."""

from pathlib import Path
from typing import Annotated

import typer

TRACE_HELP = (
    "A file (Azure CSV, Mooncake JSONL, Penstock JSONL, or YAML of kind Workload), or the name of a trace that ships."
)
TraceOption = Annotated[str, typer.Option(help=TRACE_HELP)]
StartOption = Annotated[float, typer.Option(help="Where in the trace to begin, in its seconds.")]
DurationOption = Annotated[float | None, typer.Option(min=0, help="How much of it, in its seconds; default: all.")]
SpeedOption = Annotated[float, typer.Option(help="Times as fast: 2 doubles the rate.")]
WorldOption = Annotated[
    Path | None, typer.Option(help="Nodes, delays and metrics (kind VirtualCluster); default: as `up` has them.")
]
