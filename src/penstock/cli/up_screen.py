"""What `up` shows on stderr while it serves: a live panel on a terminal, a plain line every few seconds elsewhere."""

import asyncio
import sys

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from penstock.cli.output import note
from penstock.control.deployment import Deployment
from penstock.messages.observation import Observation, PoolSeen, Sample, Signal

PANEL_EVERY_S = 0.5
LINE_EVERY_S = 5.0


async def show(deployment: Deployment) -> None:
    """Show until cancelled."""
    if sys.stderr.isatty():
        await _panel(deployment)
    else:
        await _lines(deployment)


async def _lines(deployment: Deployment) -> None:
    told_s = 0.0
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        latest = deployment.latest
        if latest.observation is None:
            continue
        note(line(latest.observation))
        for change in latest.changes:
            if change.time_s > told_s:
                note(f"  {change.component}: {change.reason}")
        told_s = latest.observation.time_s


async def _panel(deployment: Deployment) -> None:
    with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
        while True:
            live.update(panel(deployment))
            await asyncio.sleep(PANEL_EVERY_S)


def line(observation: Observation) -> str:
    """One line: time, latencies, and each pool's replicas and demand."""
    pools = (
        f"{pool.component}: {_replicas(pool)}, {_figure(pool, Signal.DEMAND, '{:.1f} req/s')}, "
        f"TTFT {_figure(pool, Signal.TTFT, '{:.3f} s')}, ITL {_figure(pool, Signal.ITL, '{:.4f} s')}, "
        f"queue {_figure(pool, Signal.QUEUE, '{:.0f}')}"
        for pool in observation.pools
    )
    return "  ".join((f"{observation.time_s:7.0f} s", *pools))


def panel(deployment: Deployment) -> Panel:
    """The live panel."""
    latest = deployment.latest
    table = Table(box=None, pad_edge=False, expand=True)
    for heading in ("pool", "ready", "starting", "draining", "desired", "req/s", "TTFT", "ITL", "queue", "KV"):
        table.add_column(heading, justify="left" if heading == "pool" else "right")
    for pool in latest.observation.pools if latest.observation else ():
        table.add_row(
            pool.component,
            *(str(count) for count in (pool.ready, pool.starting, pool.draining, pool.desired)),
            _figure(pool, Signal.DEMAND, "{:.1f}"),
            _figure(pool, Signal.TTFT, "{:.3f} s"),
            _figure(pool, Signal.ITL, "{:.4f} s"),
            _figure(pool, Signal.QUEUE, "{:.0f}"),
            _figure(pool, Signal.KV_USAGE, "{:.0%}"),
        )
    costs = deployment.ledger.costs()
    where = f"requests to {deployment.gateway_url}/v1   page at {deployment.page_url}"
    if costs is not None:
        where += f"   ${costs.usd_per_hour:.2f} an hour"
    reasons = [Text(f"{d.time_s:6.0f} s  {d.component}: {d.reason}", style="dim") for d in latest.changes]
    return Panel(Group(Text(where), table, *reasons), title=deployment.deployment.metadata.name)


def _replicas(pool: PoolSeen) -> str:
    more = [f"{count} {what}" for count, what in ((pool.starting, "starting"), (pool.draining, "draining")) if count]
    return ", ".join([f"{pool.ready} ready", *more])


def _figure(pool: PoolSeen, signal: Signal, form: str) -> str:
    sample: Sample | None = pool.signals.get(signal)
    return form.format(sample.value) if sample is not None else "-"
