"""`run.json`: how a run was made, so that its report can say it and somebody else can make it again."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import orjson

from penstock.errors import InputError

RUN_INFO = "run.json"
# What a result may depend on; the rest of the lock file does not change figures.
_TOLD_VERSIONS = ("penstock", "uvloop", "aiohttp", "fastokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """How a run was made.

    Args:
        command: as it was typed, word by word.
        spec: the deployment file's text.
        seed: of the workload; None if nothing was random.
        started_unix_s: wall time at which the run's seconds begin; None in virtual time.
        utc_offset_s: of the clock on the wall there, so that a report shows its times wherever it is read.
        versions: of Penstock, Python and what matters beside them.
    """

    command: tuple[str, ...]
    spec: str
    seed: int | None = None
    started_unix_s: float | None = None
    utc_offset_s: int = 0
    versions: Mapping[str, str] = field(default_factory=lambda: told_versions())


def told_versions() -> dict[str, str]:
    """Versions of this process's parts."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _TOLD_VERSIONS}}


def write_run_info(directory: Path, info: RunInfo) -> None:
    """Write `run.json` into the directory of a run."""
    (directory / RUN_INFO).write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2))


def read_run_info(directory: Path) -> RunInfo:
    """Read `run.json`. Raises: InputError, if the directory is no run's."""
    path = directory / RUN_INFO
    try:
        raw = orjson.loads(path.read_bytes())
        return RunInfo(
            command=tuple(str(word) for word in raw["command"]),
            spec=str(raw["spec"]),
            seed=raw.get("seed"),
            started_unix_s=raw.get("started_unix_s"),
            utc_offset_s=int(raw.get("utc_offset_s", 0)),
            versions=dict(raw.get("versions", {})),
        )
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", "name the directory of a run") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(str(path), f"is not how a run was made ({error})", "name the directory of a run") from error
