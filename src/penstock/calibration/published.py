"""Single points that others published: Qwen3-0.6B on an H100 under open-loop load.

`load` reads "rate=16 req/s, 500 prompts, ..."; rate=inf sends everything at once. Arrivals are Poisson with a fixed
seed. Source: as each row says.
"""

import re
from collections.abc import Iterable
from random import Random

from penstock.calibration.csv_rows import Row
from penstock.calibration.harness import default_limits
from penstock.calibration.points import Limits, Measurements, OpenLoop, Point, Skipped
from penstock.calibration.replica import UnknownReplica, replica

COLUMNS = ("model", "gpu", "parallelism", "backend", "isl", "osl", "load", "ttft_mean_ms", "tpot_mean_ms")
_MS = 1e-3
_LOAD = re.compile(r"rate=(inf|[\d.]+)(?: req/s)?, (\d+) prompts")
_TP = re.compile(r"TP(\d+)")
_SEED = 0


def read_published(rows: Iterable[Row]) -> Measurements:
    """Read the rows that state a load and a latency. Raises: InputError."""
    points: list[Point] = []
    skipped: list[Skipped] = []
    for row in rows:
        name = f"{row.text('model')} {row.text('load')}".strip()
        try:
            points.append(_point(row, name))
        except UnknownReplica as error:
            skipped.append(Skipped(id=name, why=str(error)))
    return Measurements(points=tuple(points), skipped=tuple(skipped))


def _point(row: Row, name: str) -> Point:
    load, parallel = _LOAD.match(row.text("load")), _TP.match(row.text("parallelism"))
    if load is None or parallel is None or not row.text("ttft_mean_ms"):
        raise UnknownReplica("no load and latency that could be compared")
    serving = replica(
        model=row.text("model"),
        system=row.text("gpu"),
        engine=row.text("backend").lower(),
        version=row.text("backend_version"),
        precision="bf16",
        gpus=int(parallel[1]),
    )
    rate = float(load[1])
    random, at, arrivals = Random(_SEED), 0.0, []
    for _ in range(int(load[2])):
        arrivals.append((at, row.count("isl"), row.count("osl")))
        at += random.expovariate(rate) if rate != float("inf") else 0.0
    share = re.search(r"gpu_memory_utilization ([\d.]+)", row.text("note"))
    limits = default_limits(serving)
    return Point(
        id=name,
        serving=serving,
        load=OpenLoop(
            arrivals=tuple(arrivals),
            limits=Limits(
                max_num_batched_tokens=limits.max_num_batched_tokens,
                memory_share=float(share[1]) if share else limits.memory_share,
            ),
        ),
        ttft_s=row.number("ttft_mean_ms", scale=_MS),
        tpot_s=row.number("tpot_mean_ms", scale=_MS),
    )
