"""Deployments ranked, as a table of at most 80 columns: who held the targets, what it cost, how far from optimal."""

from io import StringIO

from rich.console import Console
from rich.table import Table

from penstock.messages.result import Result
from penstock.simulator.compare import ATTAIN, Comparison

_HOUR_S = 3600.0


def compare_table(comparison: Comparison) -> str:
    """Those that attained enough first, the cheapest of them on top; then the others, by attainment."""
    yardsticks = comparison.yardsticks
    optimum_h = yardsticks.optimum.total_s / _HOUR_S * yardsticks.gpus if yardsticks is not None else None
    rows = [(name, result) for name, result in comparison.results.items()]
    if yardsticks is not None:
        rows.append(("(hindsight)", yardsticks.hindsight.result))
    rows.sort(key=lambda row: _rank(row[1]))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("deployment")
    for name in ("attained", "requests", "GPU-hours", "cost", "x optimum", "changes"):
        table.add_column(name, justify="right")
    for name, result in rows:
        table.add_row(name, *_cells(result, optimum_h))
    if yardsticks is not None and optimum_h is not None:
        price = optimum_h * yardsticks.usd_per_gpu_hour
        table.add_row("(optimum)", f"{ATTAIN:.0%}", "", f"{optimum_h:.3g}", f"${price:.2f}", "1.00", "")
    out = StringIO()
    Console(file=out, width=80, no_color=True).print(table)
    lines = [out.getvalue().rstrip()]
    if yardsticks is not None:
        policy = yardsticks.hindsight.policy
        lines.append(
            f"\noptimum: the future known, {yardsticks.lead_s:.0f} s of lead time paid for each start.\n"
            f"hindsight: largest load of the last {policy.window_s:.0f} s x {policy.headroom:.2f}; "
            "both chosen on this trace."
        )
    return "\n".join(lines)


def _rank(result: Result) -> tuple[bool, float, float]:
    attained = result.slo.attainment if result.slo is not None else 0.0
    hours = result.gpu_hours.total if result.gpu_hours is not None else 0.0
    enough = attained >= ATTAIN
    return (not enough, hours if enough else -attained, hours)


def _cells(result: Result, optimum_h: float | None) -> list[str]:
    slo, hours = result.slo, result.gpu_hours
    times = f"{hours.total / optimum_h:.2f}" if hours is not None and optimum_h else ""
    return [
        f"{slo.attainment:.1%}" if slo is not None else "",
        f"{slo.requests_met:.1%}" if slo is not None else "",
        f"{hours.total:.3g}" if hours is not None else "",
        f"${result.cost_usd:.2f}" if result.cost_usd is not None else "",
        times,
        str(result.scale_events) if result.scale_events is not None else "",
    ]
