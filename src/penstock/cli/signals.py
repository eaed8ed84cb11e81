"""Ctrl-C and SIGTERM for commands that run an event loop: told to the command, which ends in order."""

import asyncio
import signal
from collections.abc import Callable


def end_on_signals(end: Callable[[], object]) -> None:
    """Call `end` at each of them, inside the running event loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
