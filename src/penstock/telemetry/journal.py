"""The record of a run, a line each: `decisions.jsonl` (what was decided and why) and `history.jsonl` (what was seen).

Decisions follow from observations alone, so the history is enough to make them again, byte for byte: numbers are
written in full, and read back as they were. Files are bounded: beyond the limit the history is not written any more
(and says so once in the log), while decisions, a few hundred bytes each few seconds, go on.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from penstock.errors import InputError
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import NodePoolSeen, Observation, PoolSeen, Sample, Signal, WorkerSeen
from penstock.telemetry.feed import decision_to_json

log = logging.getLogger(__name__)

DECISIONS = "decisions.jsonl"
HISTORY = "history.jsonl"
MAX_HISTORY_BYTES = 1 << 30  # about a week of a pool of eight, a line a second


def decision_line(decision: Decision) -> bytes:
    """One line of `decisions.jsonl`."""
    return orjson.dumps(decision_to_json(decision)) + b"\n"


def observation_line(observation: Observation) -> bytes:
    """One line of `history.jsonl`."""
    return orjson.dumps(observation, option=orjson.OPT_NON_STR_KEYS) + b"\n"  # signals are keys, by their value


class Journal:
    """Writes both files into a directory, each line at once, so that a crash loses none. A Listener."""

    def __init__(self, directory: Path, *, max_history_bytes: int = MAX_HISTORY_BYTES) -> None:
        self._left_bytes = max_history_bytes
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._decisions: BinaryIO = (directory / DECISIONS).open("wb", buffering=0)
            self._history: BinaryIO = (directory / HISTORY).open("wb", buffering=0)
        except OSError as error:
            raise InputError(
                f"--out {directory}", f"cannot be written ({error.strerror})", "name a directory that can"
            ) from error

    def observed(self, observation: Observation) -> None:
        """Write one line of history."""
        line = observation_line(observation)
        if self._left_bytes < 0:
            return
        self._left_bytes -= len(line)
        if self._left_bytes < 0:
            log.warning("%s is full; the run goes on without it", HISTORY)
            return
        self._history.write(line)

    def decided(self, decision: Decision) -> None:
        """Write one decision."""
        self._decisions.write(decision_line(decision))

    def close(self) -> None:
        """No more lines."""
        self._decisions.close()
        self._history.close()


def read_decisions(path: Path) -> Iterator[Decision]:
    """Read `decisions.jsonl` again. Raises: InputError, naming file and line."""
    for where, record in _records(path):
        try:
            yield Decision(
                time_s=float(record["time_s"]),
                component=str(record["component"]),
                policy=str(record["policy"]),
                current=int(record["current"]),
                desired=int(record["desired"]),
                limited_by=LimitedBy(record["limited_by"]),
                reason=str(record["reason"]),
                seen={name: Sample(**sample) for name, sample in record.get("seen", {}).items()},
                figures=dict(record.get("figures", {})),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                where, f"not a decision ({_why(error)})", "give a decisions.jsonl that a run wrote"
            ) from error


def read_history(path: Path) -> Iterator[Observation]:
    """Read `history.jsonl` again. Raises: InputError, naming file and line."""
    for where, record in _records(path):
        try:
            yield Observation(
                time_s=float(record["time_s"]),
                pools=tuple(_pool(pool) for pool in record["pools"]),
                totals=dict(record.get("totals", {})),
                nodes=tuple(NodePoolSeen(**nodes) for nodes in record.get("nodes", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                where, f"not an observation ({_why(error)})", "give a history.jsonl that a run wrote"
            ) from error


def _pool(record: Mapping[str, Any]) -> PoolSeen:
    return PoolSeen(
        component=str(record["component"]),
        desired=int(record["desired"]),
        starting=int(record["starting"]),
        ready=int(record["ready"]),
        draining=int(record["draining"]),
        signals={Signal(name): Sample(**sample) for name, sample in record.get("signals", {}).items()},
        workers=tuple(WorkerSeen(**worker) for worker in record.get("workers", ())),
    )


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Lines as documents, one at a time. A last line that was cut off by a crash is left out."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    if not line.endswith(b"\n"):
                        return
                    raise InputError(f"{path} line {number}", "not JSON", "give one JSON document a line") from error
                if not isinstance(record, dict):
                    raise InputError(f"{path} line {number}", "not a JSON object", "give one record a line")
                yield f"{path} line {number}", record
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", "name a file that a run wrote") from error


def _why(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
