"""Deployments ranked, as tables of at most 80 columns: who held the targets, what it cost, how far from optimal."""

from collections.abc import Mapping, Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table

from penstock.cli.result_table import hours_by_state
from penstock.messages.result import Result
from penstock.telemetry.comparison_report import Bounds
from penstock.telemetry.ranking import Standing

_WIDTH = 80


def compare_table(ranked: Sequence[Standing], results: Mapping[str, Result], bounds: Bounds | None) -> str:
    """The ranking, the yardsticks below it, then GPU-hours by state, those that somebody had.

    Args:
        ranked: the best first (`telemetry.ranking`). results: by name.
    """
    lines = [_printed(_ranking(ranked, bounds))]
    if (states := _states(ranked, results)) is not None:
        lines.append(_printed(states))
    if (bands := _bands(ranked)) is not None:
        lines.append(_printed(bands))
    if bounds is not None:
        lines.append(
            f"optimum: the future known, {bounds.lead_s:.0f} s of lead time paid for each start.\n"
            f"hindsight: {bounds.hindsight_rule}; both chosen on this trace."
        )
    return "\n\n".join(lines)


def _ranking(ranked: Sequence[Standing], bounds: Bounds | None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", justify="right")
    table.add_column("deployment", overflow="fold")
    for name in ("attained", "requests", "GPU-hours", "cost", "x optimum", "changes"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, each in enumerate(ranked, 1):
        table.add_row(str(place), each.name, *_cells(each))
    if bounds is not None:
        optimum = bounds.optimum
        table.add_row("", "(hindsight)", *_cells(bounds.hindsight))
        table.add_row("", "(optimum)", "", "", f"{optimum.gpu_hours:.3g}", f"${optimum.cost_usd:.2f}", "1.00", "")
    return table


def _states(ranked: Sequence[Standing], results: Mapping[str, Result]) -> Table | None:
    """None, if no deployment names a GPU."""
    rows = [
        (each.name, hours_by_state(hours))
        for each in ranked
        if (hours := results[each.name].gpu_hours) is not None and hours.total > 0
    ]
    if not rows:
        return None
    had = {state for _, by_state in rows for state, spent in by_state.items() if spent > 0}
    shown = [state for state in rows[0][1] if state in had]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("GPU-hours", overflow="fold")
    for state in shown:
        table.add_column(state, justify="right", no_wrap=True)
    for name, by_state in rows:
        table.add_row(name, *(f"{by_state[state]:.3g}" for state in shown))
    return table


def _bands(ranked: Sequence[Standing]) -> Table | None:
    """Low and high over several runs. None, if there was one of each."""
    if not any(each.band for each in ranked):
        return None
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"over {max(each.seeds or 1 for each in ranked)} runs", overflow="fold")
    shown = {
        "attainment": ("attained", "{:.1%}"),
        "gpu_hours": ("GPU-hours", "{:.3g}"),
        "cost_usd": ("cost", "${:,.2f}"),
    }
    for label, _ in shown.values():
        table.add_column(label, justify="right", no_wrap=True)
    for each in ranked:
        band = each.band or {}
        cells = [" to ".join(form.format(end) for end in band.get(name, ())) for name, (_, form) in shown.items()]
        table.add_row(each.name, *cells)
    return table


def _printed(table: Table) -> str:
    out = StringIO()
    Console(file=out, width=_WIDTH, no_color=True).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def _cells(each: Standing) -> list[str]:
    return [
        f"{each.attainment:.1%}" if each.attainment is not None else "",
        f"{each.requests_met:.1%}" if each.requests_met is not None else "",
        f"{each.gpu_hours:.3g}" if each.gpu_hours is not None else "",
        f"${each.cost_usd:,.2f}" if each.cost_usd is not None else "",
        f"{each.times_optimum:.2f}" if each.times_optimum is not None else "",
        str(each.scale_events) if each.scale_events is not None else "",
    ]
