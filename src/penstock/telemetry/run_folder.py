"""A run's folder: cleared of an earlier run's files and told how this one is made, before it begins."""

from pathlib import Path

from penstock.errors import InputError
from penstock.telemetry.journal import DECISIONS, HISTORY
from penstock.telemetry.report import REPORT, REQUESTS, SUMMARY
from penstock.telemetry.run_info import RUN_INFO, RunInfo, write_run_info

FILES = (SUMMARY, REQUESTS, DECISIONS, HISTORY, RUN_INFO, REPORT)


def begin_run_folder(folder: Path, info: RunInfo) -> None:
    """Make the folder that of this run. Raises: InputError, if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        write_run_info(folder, info)
    except OSError as error:
        raise InputError(
            f"--out {folder}", f"cannot be written ({error.strerror})", "name a folder that can"
        ) from error
