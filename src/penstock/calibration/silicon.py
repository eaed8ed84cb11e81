"""Closed-loop measurements on Hopper GPUs, as AIConfigurator ships them (silicon_sample.csv).

Traps, each handled here: exact copies under two names; in rows from InferenceX, columns of a mixture of experts where
`tp_size` means tp x ep and `attention_dp_size` stands for either; rows without a concurrency; runs that were bound by
their client, or contradict others of their series. Source: aiconfigurator-core 0.12.0 (Apache-2.0),
systems/silicon_sample.csv.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from penstock.calibration.csv_rows import Row
from penstock.calibration.harness import (
    INFERENCEX_SPREAD,
    REQUESTS_PER_USER,
    client_bound,
    default_limits,
    gap_analysis_spread,
    inferencex_limits,
)
from penstock.calibration.points import ClosedLoop, Measurements, Point, Skipped
from penstock.calibration.replica import UnknownReplica, replica
from penstock.hardware.gpus import Precision

COLUMNS = ("model_path", "system", "backend", "isl", "osl", "concurrency", "silicon_ttft_ms", "silicon_tpot_ms")
_MS = 1e-3
_FASTER = 0.55  # times the TPOT of half as many users
_INFERENCEX = re.compile(r"source_file=\d{4}-\d\d-\d\d\.csv")
_PRECISIONS: dict[str, Precision] = {"": "bf16", "bf16": "bf16", "fp16": "bf16", "fp8": "fp8", "fp4": "fp4"}


class _Cut:
    """How a row's model is cut over GPUs."""

    def __init__(self, row: Row) -> None:
        self.tp, self.dp = row.count("tp_size"), row.count("attention_dp_size", default=1)
        self.pp = row.count("pp_size", default=1)
        moe_tp, ep = self._share(row, "moe_tp_size"), self._share(row, "moe_ep_size")
        if row.text("attention_dp_size"):  # InferenceX
            if moe_tp == ep > 1 and max(self.tp, self.dp) == moe_tp * ep:
                self.tp, self.dp = (ep, self.dp) if self.tp == moe_tp * ep else (self.tp, ep)
            if self.tp == self.dp > 1 and ep == self.tp * self.dp:
                self.dp, ep = 1, self.tp
        self.expert_parallel = ep > 1

    @staticmethod
    def _share(row: Row, name: str) -> int:
        text = row.text(name)
        return row.count(name) if text and float(text) else 1


def read_silicon(rows: Iterable[Row]) -> Measurements:
    """Read the table. Raises: InputError, at the first field that is no measurement."""
    points: list[Point] = []
    skipped: list[Skipped] = []
    seen: dict[tuple[object, ...], str] = {}
    for row in rows:
        name = row.text("id") or row.where
        why = _not_replayed(row)
        if why is None:
            try:
                point = _point(row, name)
            except UnknownReplica as error:
                why = str(error)
        if why is None:
            key = (point.serving, point.load, row.text("silicon_ttft_ms")[:9], row.text("silicon_tpot_ms")[:9])
            why = f"an exact copy of {seen[key]}" if key in seen else None
            seen.setdefault(key, name)
        if why is None:
            points.append(point)
        else:
            skipped.append(Skipped(id=name, why=why))
    contradictory = _contradictory(points)
    skipped += [Skipped(id=point.id, why=contradictory[point.id]) for point in points if point.id in contradictory]
    kept = tuple(point for point in points if point.id not in contradictory)
    return Measurements(points=kept, skipped=tuple(skipped))


def _contradictory(points: Iterable[Point]) -> dict[str, str]:
    """Points that decode far faster than others of their series do with half as many users: not under that load."""
    series: dict[tuple[object, ...], list[tuple[int, Point]]] = defaultdict(list)
    for point in points:
        if isinstance(point.load, ClosedLoop):
            replica_of_any_version = replace(point.serving, version="")
            series[replica_of_any_version, point.load.isl, point.load.osl].append((point.load.users, point))
    found: dict[str, str] = {}
    for members in series.values():
        for users, point in members:
            for fewer, other in members:
                if 2 * fewer <= users and (point.tpot_s or 0.0) < _FASTER * (other.tpot_s or 0.0):
                    found[point.id] = f"contradicts {other.id}: a shorter TPOT at {users} users than at {fewer}"
    return found


def _not_replayed(row: Row) -> str | None:
    mode = row.text("mode")
    if mode != "agg":
        return f"mode {mode!r}: prefill and decode apart are not replayed"
    if not row.text("concurrency"):
        return "its concurrency is not stated"
    cut = _Cut(row)
    if cut.pp > 1:
        return "pipeline parallelism is not modelled"
    if cut.dp > 1:
        return f"{cut.dp} attention ranks in lock step (data parallelism) are not modelled"
    return None


def _point(row: Row, name: str) -> Point:
    cut = _Cut(row)
    stated = row.text("precision") or row.text("gemm_quant_mode").partition("_")[0]
    if stated not in _PRECISIONS:
        raise UnknownReplica(f"precision {stated!r} is not known")
    serving = replica(
        model=row.text("model_path"),
        system=row.text("system"),
        engine=row.text("backend"),
        version=row.text("backend_version"),
        precision=_PRECISIONS[stated],
        gpus=cut.tp,
        ep=cut.expert_parallel,
    )
    users, isl = row.count("concurrency"), row.count("isl")
    if client_bound(serving, users):
        raise UnknownReplica("bound by its client: from 448 users on its throughput stands still")
    inferencex = _INFERENCEX.search(row.text("source")) is not None
    load = ClosedLoop(
        users=users,
        requests=REQUESTS_PER_USER * users,
        isl=isl,
        osl=row.count("osl"),
        spread=INFERENCEX_SPREAD if inferencex else gap_analysis_spread(serving, isl),
        limits=inferencex_limits(serving) if inferencex else default_limits(serving),
    )
    return Point(
        id=name,
        serving=serving,
        load=load,
        ttft_s=row.number("silicon_ttft_ms", scale=_MS),
        tpot_s=row.number("silicon_tpot_ms", scale=_MS),
    )
