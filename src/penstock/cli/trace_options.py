"""Options of the trace commands, and how they write files."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Annotated

import typer

from penstock.errors import InputError

SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
OutOption = Annotated[Path, typer.Option("--out", help="The file to write.")]


def write_whole(path: Path, fill: Callable[[IO[bytes]], int]) -> int:
    """Write a file whole or not at all. Returns what `fill` does. Raises: InputError."""
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            with part.open("wb") as file:
                count = fill(file)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"--out {path}", f"cannot be written ({error.strerror})", "give a file of yours") from error
    return count
