"""What goes where: one document on stdout, everything else on stderr.

A command's answer is the only thing on stdout, so that it can be piped; progress and logs go to stderr, drawn on a
terminal and as plain lines elsewhere.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

from penstock.cli.check_gpus import check_gpus
from penstock.cli.check_kv import check_kv
from penstock.errors import InputError
from penstock.messages.parse_spec import parse_spec
from penstock.messages.spec import InferenceDeployment


def print_document(document: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    sys.stdout.flush()


def print_text(text: str) -> None:
    """Print a human's answer on stdout."""
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """Print one line of progress on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class _Stderr(logging.Handler):
    """Writes to what stderr is at the moment: a live panel puts itself in its place, and lines appear above it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            note(self.format(record))
        except (OSError, ValueError):
            self.handleError(record)


def log_to_stderr() -> None:
    """Send this process's own log to stderr, one line a record; libraries speak from warnings on."""
    handler = _Stderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("penstock").setLevel(logging.INFO)


def read_spec(path: Path) -> InferenceDeployment:
    """Read a deployment file, with engines filled in that name a profile. Raises: InputError."""
    deployment = parse_spec(read_text(path, "deployment"), source=str(path))
    check_gpus(deployment, str(path))
    if all(component.engine.profile is None for component in deployment.spec.components):
        check_kv(deployment, str(path))
        return deployment  # and profiles need not be imported: a worker's start-up counts towards scaling
    from penstock.cli.profiles import kv_bytes_per_token, with_profiles

    deployment = with_profiles(deployment, source=str(path))
    check_kv(deployment, str(path), bytes_per_token=kv_bytes_per_token)
    return deployment


def read_text(path: Path, what: str) -> str:
    """Read a file that the user named. Raises: InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(str(path), f"cannot be read ({reason})", f"name a {what} file in YAML") from error
