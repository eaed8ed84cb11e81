"""A workload file (kind `Workload`, YAML): read whole, since it is small, then played as a trace would be read."""

from pathlib import Path

from penstock.errors import InputError
from penstock.messages.parse_spec import parse_document
from penstock.workload.workload_spec import Workload, WorkloadBody

NAME = "workload"
MAX_BYTES = 1_000_000
_BEGINNINGS = (b"#", b"---", b"apiVersion", b"kind", b"metadata", b"spec")


def matches(first_line: bytes) -> bool:
    """Whether a file with this first line may be ours: no trace begins so."""
    return first_line.removeprefix(b"\xef\xbb\xbf").startswith(_BEGINNINGS)


def parse_workload(path: Path, *, name: str) -> WorkloadBody:
    """Read it. Raises: InputError, for the first thing that is wrong."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(name, f"cannot be read ({reason})", "name a workload file in YAML") from error
    if len(content) > MAX_BYTES:
        raise InputError(name, f"has more than {MAX_BYTES:,} bytes", "a workload file is a page of YAML")
    return parse_document(text, Workload, source=name, what="workload").spec
