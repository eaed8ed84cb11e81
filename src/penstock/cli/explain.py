"""`penstock explain`: why the autoscaler did what it did, from the record that it wrote."""

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import print_document, print_text
from penstock.errors import InputError
from penstock.messages.decision import Decision


def explain(
    decisions: Annotated[
        Path, typer.Argument(help="A decisions.jsonl, or the folder that has it.", show_default=False)
    ],
    component: Annotated[str | None, typer.Option(help="Only this pool.", show_default=False)] = None,
    at: Annotated[
        float | None, typer.Option(help="Only around this time, in seconds of the run.", min=0, show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The decisions themselves, as one JSON list.")] = False,
) -> None:
    """Tell what was decided and why."""
    from penstock.autoscale.sentences import explain as told
    from penstock.telemetry.feed import decision_to_json
    from penstock.telemetry.journal import DECISIONS, read_decisions

    path = decisions / DECISIONS if decisions.is_dir() else decisions
    found = list(read_decisions(path))
    names = sorted({decision.component for decision in found})
    if component is not None and component not in names:
        raise InputError(f"--component {component}", f"no decision in {path} is about it", f"use {', '.join(names)}")
    wanted = [decision for decision in found if component in (None, decision.component)]
    if json:
        if at is not None:
            wanted = _standing_at(wanted, at)
        print_document([decision_to_json(decision) for decision in wanted])
    else:
        print_text(told(wanted, component, at))


def _standing_at(decisions: list[Decision], at_s: float) -> list[Decision]:
    """The decision of each pool that stood at an instant."""
    latest = {decision.component: decision for decision in decisions if decision.time_s <= at_s}
    return list(latest.values())
