"""Open-loop runs of real vLLM, request by request, as LLMServingSim ships them. One run is one point.

Times were taken inside the engine: from queued to first token. Source: casys-kaist/LLMServingSim (MIT), bench/examples.
"""

from collections import defaultdict
from collections.abc import Iterable

from penstock.calibration.csv_rows import Row
from penstock.calibration.harness import RUN_KV_TOKENS
from penstock.calibration.points import Limits, Measurements, OpenLoop, Point, Skipped
from penstock.calibration.replica import UnknownReplica, replica

_TTFT = "ttft_s(first_token-queued)"
COLUMNS = ("run", "model", "gpu", "tp", "input_toks", "output_toks", "arrival_offset_s", _TTFT, "tpot_s")


def read_request_runs(rows: Iterable[Row]) -> Measurements:
    """Gather the requests of each run. Raises: InputError."""
    runs: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        runs[row.text("run")].append(row)
    points: list[Point] = []
    skipped: list[Skipped] = []
    for name, members in runs.items():
        try:
            points.append(_point(name, members))
        except UnknownReplica as error:
            skipped.append(Skipped(id=name, why=str(error)))
    return Measurements(points=tuple(points), skipped=tuple(skipped))


def _point(name: str, rows: list[Row]) -> Point:
    first = rows[0]
    if first.count("dp", default=1) > 1:
        raise UnknownReplica("several engines (data parallelism) behind one queue are not modelled")
    serving = replica(
        model=first.text("model"),
        system=first.text("gpu"),
        engine="vllm",
        version=first.text("vllm_version"),
        precision="bf16",
        gpus=first.count("tp"),
    )
    limits = Limits(
        max_num_batched_tokens=first.count("max_num_batched_tokens"),
        max_num_seqs=first.count("max_num_seqs"),
        kv_tokens=RUN_KV_TOKENS.get(name),
    )
    requests = sorted(
        (
            row.instant("arrival_offset_s"),
            row.count("input_toks"),
            row.count("output_toks"),
            row.number(_TTFT),
            row.number("tpot_s"),
        )
        for row in rows
    )
    ttft_s, tpot_s = tuple(row[3] for row in requests), tuple(row[4] for row in requests)
    return Point(
        id=name,
        serving=serving,
        load=OpenLoop(
            arrivals=tuple(row[:3] for row in requests), limits=limits, at_engine=True, ttft_s=ttft_s, tpot_s=tpot_s
        ),
        ttft_s=sum(ttft_s) / len(ttft_s),
        tpot_s=sum(tpot_s) / len(tpot_s),
    )
