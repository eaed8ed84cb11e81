"""CONTRIBUTING sends nobody to a file that is not there, and leaves no room out."""

import re

from shown_commands import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SOURCE = ROOT / "src" / "penstock"
_ROOM = re.compile(r"`(\w+/)`")
_FILE = re.compile(r"`([\w./-]+(?:\.\w+|/))`")


def rooms() -> dict[str, list[str]]:
    """Each room of the table and the files to begin with."""
    rows = [line.split("|") for line in TEXT.splitlines() if line.startswith("| `")]
    return {room: _FILE.findall(row[-2]) for row in rows for room in _ROOM.findall(row[1])}


def test_every_room_is_in_the_table() -> None:
    packages = {f"{path.parent.name}/" for path in SOURCE.glob("*/__init__.py")}
    assert set(rooms()) == packages


def test_the_files_to_begin_with_exist() -> None:
    missing = [
        f"{room}{file}" for room, files in rooms().items() for file in files if not (SOURCE / room / file).exists()
    ]
    assert not missing
    assert all(rooms().values())


def test_files_that_the_text_names_exist() -> None:
    """Under the repository, or under src/penstock; a bare name is of the table, and checked there."""
    prose = "\n".join(line for line in TEXT.splitlines() if not line.startswith("|"))
    named = [name for name in _FILE.findall(prose) if "/" in name and "NNNN" not in name]
    assert named
    assert [name for name in named if not ((ROOT / name).exists() or (SOURCE / name).exists())] == []
