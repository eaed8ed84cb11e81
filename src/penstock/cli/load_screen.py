"""What `penstock load` shows on stderr meanwhile: a line that renews itself on a terminal, one every 5 s elsewhere."""

import asyncio
import contextlib
import sys

from penstock.cli.output import note
from penstock.load.pace import OpenLoop
from penstock.load.run import LoadRun

_TERMINAL_EVERY_S = 0.25
_PLAIN_EVERY_S = 5.0


async def show(run: LoadRun, loop: OpenLoop, last_s: float | None) -> None:
    """Show the state until cancelled. `last_s`: when the last request is due, if known."""
    if sys.stderr.isatty():
        await _draw(run, loop, last_s)
    while True:
        await asyncio.sleep(_PLAIN_EVERY_S)
        note(_line(run, loop))


async def _draw(run: LoadRun, loop: OpenLoop, last_s: float | None) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    with Live(console=Console(stderr=True), refresh_per_second=4, transient=True, auto_refresh=False) as live:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                parts: list[Text | ProgressBar] = [Text(_line(run, loop))]
                if last_s is not None:
                    parts.append(ProgressBar(total=last_s, completed=min(run.now_s(), last_s)))
                live.update(Group(*parts), refresh=True)
                await asyncio.sleep(_TERMINAL_EVERY_S)
        raise asyncio.CancelledError


def _line(run: LoadRun, loop: OpenLoop) -> str:
    return loop.progress.line(run.now_s(), loop.lateness.p99_s)
