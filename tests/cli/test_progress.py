"""Progress of long runs: a bar on a terminal, lines elsewhere, nothing for short ones; the cursor comes back."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from penstock.cli.progress import Progress, duration

EXAMPLES = Path(__file__).parents[2] / "examples"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_short_run_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Less than two seconds."""
    clock = Clock()
    with Progress("penstock simulate", monotonic_s=clock) as progress:
        for _ in range(19):
            clock.now_s += 0.1
            progress.show(0.5, "0:30 of 1:00", 500)
    assert capsys.readouterr() == ("", "")


def test_elsewhere_a_line_every_few_seconds_says_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, from the second second on; unknown length: no share and no time left."""
    clock = Clock()
    with Progress("penstock simulate", monotonic_s=clock) as progress:
        for step in range(1, 81):
            clock.now_s = 100 + step / 10
            progress.show(step / 100, f"{duration(step)} of 1:40", step * 100)
        clock.now_s += 10
        progress.show(None, "1:21", 9_000)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "penstock simulate: 20%  0:20 of 1:40  2,000 requests  1,000/s  0:08 left",
        "penstock simulate: 50%  0:50 of 1:40  5,000 requests  1,000/s  0:05 left",
        "penstock simulate: 80%  1:20 of 1:40  8,000 requests  1,000/s  0:02 left",
        "penstock simulate: 1:21  9,000 requests  500/s",
    ]


def test_on_a_terminal_a_bar_of_80_columns_renews_itself_and_goes() -> None:
    """Each drawing fits, the last line drawn says how far it was, and at the end the cursor is back."""
    clock, drawn = Clock(), io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=80)
    with Progress("penstock compare", console=console, monotonic_s=clock) as progress:
        for step in range(1, 31):
            clock.now_s += 1.0
            progress.show(step / 40, f"{step} of 40 runs", step * 200_000)
    text = drawn.getvalue()
    assert "━" in text
    assert "75%  30 of 40 runs  6,000,000 requests  200,000/s  0:10 left" in text
    assert text.count("\x1b[?25l") == 1
    assert "\x1b[?25h" in text.split("\x1b[?25l")[1]
    drawings = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n").splitlines()
    assert len(drawings) >= 28
    assert max(len(each) for each in drawings) <= 80


def test_of_two_that_tell_at_once_one_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Threads: the second finds that it was shown just now."""
    clock = Clock()
    progress = Progress("p", monotonic_s=clock)
    clock.now_s += 5
    progress.show(0.1, "a", 1)
    progress.show(0.1, "b", 1)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_in_a_real_terminal_json_stays_alone_on_stdout() -> None:
    """Stderr is a terminal, stdout is not: what is drawn never reaches the document."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "penstock.cli.program", "compare", str(EXAMPLES / "demo.yaml")]
    command += ["--trace", "azure-code-excerpt", "--duration-s", "60", "--json"]
    with os.fdopen(master, "rb", buffering=0):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=slave, timeout=50, check=False)
        os.close(slave)
    assert done.returncode == 0
    assert done.stdout.startswith(b"{\n")
    assert b"\x1b" not in done.stdout
