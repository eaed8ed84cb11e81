"""`requests.jsonl`: one `messages.outcome.RequestOutcome` a line, by its own field names; written and read as a stream.

A run that was killed leaves a last line cut short: reading stops there and tells nobody, for all before it is good.
A bad line elsewhere is an error that names it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson

from penstock.errors import InputError
from penstock.messages.outcome import Ending, RequestOutcome

_FIELDS = frozenset(part.name for part in fields(RequestOutcome))


def outcome_to_line(outcome: RequestOutcome) -> bytes:
    """One line of the file, with its newline."""
    return orjson.dumps(outcome, option=orjson.OPT_APPEND_NEWLINE)


def outcome_from_line(line: bytes) -> RequestOutcome:
    """The request of one line; fields of later versions are ignored. Raises: ValueError, if it is none."""
    raw = orjson.loads(line)
    if not isinstance(raw, dict):
        raise ValueError("not an object")
    known: dict[str, Any] = {key: value for key, value in raw.items() if key in _FIELDS}
    try:
        known["ending"] = Ending(known["ending"])
        known["itl_s"] = tuple((float(gap), int(tokens)) for gap, tokens in known.get("itl_s", ()))
        return RequestOutcome(**known)
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def write_requests(path: Path, outcomes: Iterable[RequestOutcome]) -> int:
    """Write outcomes as they come; returns how many."""
    count = 0
    with path.open("wb") as file:
        for outcome in outcomes:
            file.write(outcome_to_line(outcome))
            count += 1
    return count


def read_requests(path: Path) -> Iterator[RequestOutcome]:
    """Read outcomes one by one. Raises: InputError, with the number of a bad line."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield outcome_from_line(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return
                raise InputError(f"{path} line {number}", f"not a request ({error})", "see requests.jsonl") from error
