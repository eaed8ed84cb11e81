"""The commands that the documents show are real: each parses, and those to be typed do what the page says."""

import json
import re
from pathlib import Path

import pytest
import typer
from shown_commands import ROOT, Reader, commands_of, words_of

from penstock.cli.main import COMMANDS, build

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
WITH_SERVERS = ("README.md", "docs/guides/run-on-one-machine.md", "docs/guides/load.md")  # tens of seconds each
WITHOUT_SERVERS = (
    "docs/reference/traces.md",
    "docs/guides/compare.md",
    "docs/guides/scaling-policy.md",
    "docs/guides/simulate.md",
)
_SHOWN = re.compile(r"^(?:\$ )?((?:\.venv/bin/)?penstock .*)$", re.MULTILINE)
_FENCE = re.compile(r"```(?:sh|console|text)\n(.*?)```", re.DOTALL)


def shown_anywhere(page: Path) -> list[str]:
    """Every `penstock` command in a block of a page, typed or not."""
    return [
        line.partition("  #")[0].strip()
        for block in _FENCE.findall(page.read_text())
        for line in _SHOWN.findall(block.replace("\\\n", " "))
    ]


@pytest.mark.parametrize(
    ("page", "command"),
    [(page.name, command) for page in PAGES for command in shown_anywhere(page)],
    ids=lambda value: str(value)[:60],
)
def test_shown_commands_are_understood(page: str, command: str) -> None:
    """Subcommand, options and their values exist: the command line's own parser takes it."""
    words = words_of(command.removesuffix("&").strip())
    parser = typer.main.get_command(build(list(COMMANDS)))
    arguments = words[1:]
    while commands := getattr(parser, "commands", None):
        parser = commands[arguments.pop(0)]
    parser.make_context(" ".join(words), arguments)


def test_readme_shows_how_to_begin() -> None:
    """A deployment, a request, a load and the reasons: what the test below types."""
    commands = commands_of(ROOT / "README.md")
    assert [words_of(command)[0] for command in commands].count("curl") == 1
    assert {words_of(command)[1] for command in commands if "/penstock " in command} >= {"up", "load", "explain"}


@pytest.mark.docs
@pytest.mark.parametrize(
    "page", [*(pytest.param(page, marks=pytest.mark.slow) for page in WITH_SERVERS), *WITHOUT_SERVERS]
)
@pytest.mark.timeout(240)
def test_what_a_page_says_to_type_works(page: str, tmp_path: Path) -> None:
    """Typed in order, every command ends with exit code 0 and without a traceback, and says what it should."""
    commands = commands_of(ROOT / page)
    typed = list(Reader(tmp_path).type_all(commands))
    assert len(typed) == len(commands) > 0
    for done in typed:
        assert done.code == 0, f"{done.command}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        if done.command.startswith("curl"):
            assert json.loads(done.stdout)["choices"][0]["text"]
        elif " load " in done.command:
            assert re.search(r"requests +[1-9]\d* offered: \d+ completed, 0 rejected, 0 failed", done.stdout)
        elif " explain " in done.command:
            assert done.stdout.startswith("worker (planner)\n")
            assert "requests/s now" in done.stdout


def test_no_page_to_be_typed_is_left_out() -> None:
    """Whoever writes ```sh and penstock commands on another page adds it above."""
    pages = {str(page.relative_to(ROOT)) for page in PAGES if any("penstock" in c for c in commands_of(page))}
    assert pages == {*WITH_SERVERS, *WITHOUT_SERVERS}
