"""How far a long run is, on stderr: a bar that renews itself on a terminal, a line every few seconds elsewhere.

Runs of less than two seconds show nothing. The rate is since the start; what is left is told from what the whole has
taken so far.
"""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from penstock.cli.output import note

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

SHOW_AFTER_S = 2.0
LINE_EVERY_S = 3.0
BAR_EVERY_S = 0.2


class Progress:
    """Shows it until the block ends; threads may tell it.

    Args:
        title: before each line: the command.
        console: where to draw, if it is a terminal; by default stderr.
    """

    def __init__(
        self, title: str, *, console: "Console | None" = None, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._title = title
        self._console = console
        self._monotonic_s = monotonic_s
        self._began_s = monotonic_s()
        self._next_s = self._began_s + SHOW_AFTER_S
        self._draws = console.is_terminal if console is not None else sys.stderr.isatty()
        self._bar: tuple[Bar, TaskID] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._next_s = float("inf")
            if self._bar is not None:
                self._bar[0].stop()

    def show(self, share: float | None, where: str, requests: int) -> None:
        """Tell how far it is; it is shown when it is time to.

        Args:
            share: of the whole, 0 to 1; None, if that is not known.
            where: in words: the run's own time, or how many of several runs.
            requests: simulated so far.
        """
        now_s = self._monotonic_s()
        if now_s < self._next_s:
            return
        with self._lock:
            if now_s < self._next_s:
                return
            self._next_s = now_s + (BAR_EVERY_S if self._draws else LINE_EVERY_S)
            text = _words(share, where, requests, now_s - self._began_s)
            if self._draws:
                self._draw(share, text)
            else:
                note(f"{self._title}: {text}")

    def _draw(self, share: float | None, text: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = BarColumn(bar_width=None), TextColumn("{task.description}", markup=False)
            console = self._console or Console(stderr=True)
            bar = Bar(*columns, console=console, transient=True, auto_refresh=False, expand=True)
            self._bar = bar, bar.add_task(text, total=None)
            bar.start()
        bar, task = self._bar
        bar.update(task, description=text, total=None if share is None else 1.0, completed=share or 0.0, refresh=True)


def duration(seconds: float) -> str:
    """As a clock shows it: 0:21, 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _words(share: float | None, where: str, requests: int, took_s: float) -> str:
    parts = [where, f"{requests:,} requests", f"{requests / took_s:,.0f}/s"]
    if share is not None:
        parts.insert(0, f"{share:.0%}")
    if share:
        parts.append(f"{duration(took_s * (1 - share) / share)} left")
    return "  ".join(parts)
