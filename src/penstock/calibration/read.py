"""Read a file of measurements, in whichever known schema it is."""

from collections.abc import Callable, Iterable
from pathlib import Path

from penstock.calibration import published, request_runs, silicon, sweeps
from penstock.calibration.csv_rows import Row, read_rows
from penstock.calibration.points import Measurements
from penstock.errors import InputError

_SCHEMAS: tuple[tuple[tuple[str, ...], Callable[[Iterable[Row]], Measurements]], ...] = (
    (silicon.COLUMNS, silicon.read_silicon),
    (sweeps.PREFILL_COLUMNS, sweeps.read_prefill_sweep),
    (sweeps.DECODE_COLUMNS, sweeps.read_decode_sweep),
    (request_runs.COLUMNS, request_runs.read_request_runs),
    (published.COLUMNS, published.read_published),
)


def read_measurements(path: Path) -> Measurements:
    """Read a file, its schema known by its columns. Raises: InputError, that names file, line and field."""
    header, rows = read_rows(path)
    for columns, read in _SCHEMAS:
        if set(columns) <= set(header):
            return read(rows)
    raise InputError(
        f"{path}:1",
        f"no known schema has these columns: {', '.join(header)[:120] or 'none'}",
        "give silicon samples, prefill or decode sweeps, request runs or published points",
    )
