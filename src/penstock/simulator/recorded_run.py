"""A run that leaves its files: what came of each request, what was seen and decided, how it was made, its summary."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.control.loop import Listener
from penstock.errors import InputError
from penstock.messages.outcome import RequestOutcome
from penstock.messages.result import Result
from penstock.messages.spec import DeploymentBody
from penstock.simulator.records import Records
from penstock.simulator.run import simulate
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec
from penstock.telemetry.journal import Journal
from penstock.telemetry.report import REQUESTS, SUMMARY
from penstock.telemetry.requests_file import outcome_to_line
from penstock.telemetry.run_folder import begin_run_folder
from penstock.telemetry.run_info import RunInfo
from penstock.telemetry.summary import result_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Where a run leaves its files, and how it is made."""

    folder: Path
    info: RunInfo


def simulate_recorded(
    spec: DeploymentBody,
    source: WorkloadSource,
    record: RunRecord,
    *,
    world: WorldSpec | None = None,
    listeners: Sequence[Listener] = (),
    complete: Callable[[Result], Result] = lambda result: result,
) -> Result:
    """Run to the end of the workload, and leave everything but the report in the folder.

    Args:
        complete: what others know of the run is added to its result before that is written.
    Raises: as `simulator.run.simulate`; InputError, if the folder cannot be written.
    """
    arrivals = source.arrivals()  # a bad trace is said before anything is overwritten
    begin_run_folder(record.folder, record.info)
    with _told_if_full(record.folder), ExitStack() as stack:
        file = stack.enter_context((record.folder / REQUESTS).open("wb"))
        journal = stack.enter_context(closing(Journal(record.folder)))

        def write(outcome: RequestOutcome) -> None:
            file.write(outcome_to_line(outcome))

        result = simulate(
            spec,
            arrivals,
            world=world,
            seed=source.seed,
            listeners=(*listeners, journal),
            records=Records(spec.slo, tell=write),
            before=source.before,
        ).result
    result = complete(result)
    text = json.dumps(result_to_json(result), indent=2)
    with _told_if_full(record.folder):
        (record.folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
    return result


@contextmanager
def _told_if_full(folder: Path) -> Iterator[None]:
    """A record that cannot go on ends the run: without it nobody could tell what was decided. Live, it is logged.

    Raises: InputError, for whatever the file system refuses.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(str(folder), f"cannot be written any more ({why})", "make room, or name another") from error
