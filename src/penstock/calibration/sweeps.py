"""The pre-swept results of ai-dynamo: TTFT by prompt length, inter-token latency by batch and context.

Left out: decode batches above 1,000, where latency falls as the batch grows. Source: ai-dynamo 1.2.1 (Apache-2.0),
dynamo/planner/core/throughput/pre_swept_results, measured with vLLM 0.10.1.1.
"""

from collections.abc import Callable, Iterable

from penstock.calibration.csv_rows import Row
from penstock.calibration.harness import SWEEP_OSL, default_limits, sweep_computes_prompts
from penstock.calibration.points import Burst, Load, LonePrompt, Measurements, Point, Skipped, SteadyDecode
from penstock.calibration.replica import UnknownReplica, replica
from penstock.hardware.serving import Serving

_BATCH = "derived_batch(kv_usage*max_kv/context)"
PREFILL_COLUMNS = ("model", "gpu", "tp", "backend", "prefill_isl", "ttft_ms")
DECODE_COLUMNS = ("model", "gpu", "tp", "backend", "context_length", _BATCH, "itl_ms")
_MS = 1e-3
_MOST_SEQUENCES = 1000


def read_prefill_sweep(rows: Iterable[Row]) -> Measurements:
    """TTFT of a prompt alone. Raises: InputError."""

    def point(row: Row, serving: Serving) -> Point:
        isl = row.count("prefill_isl")
        load = LonePrompt(isl=isl, limits=default_limits(serving))
        ttft_s = row.number("ttft_ms", scale=_MS)
        return Point(id=_name(serving, f"isl{isl}"), serving=serving, load=load, ttft_s=ttft_s, tpot_s=None)

    return _read(rows, point)


def read_decode_sweep(rows: Iterable[Row]) -> Measurements:
    """Inter-token latency of a batch. Raises: InputError."""

    def point(row: Row, serving: Serving) -> Point:
        sequences, context = row.count(_BATCH), row.count("context_length")
        if sequences > _MOST_SEQUENCES:
            raise UnknownReplica(f"{sequences} sequences: latency falls as the batch grows from {_MOST_SEQUENCES} on")
        load: Load = SteadyDecode(sequences=sequences, context=context)
        if sweep_computes_prompts(serving):
            isl = max(1, context - SWEEP_OSL // 2)
            load = Burst(sequences=sequences, isl=isl, osl=SWEEP_OSL, limits=default_limits(serving))
        name = _name(serving, f"context{context}_batch{sequences}")
        return Point(id=name, serving=serving, load=load, ttft_s=None, tpot_s=row.number("itl_ms", scale=_MS))

    return _read(rows, point)


def _read(rows: Iterable[Row], point: Callable[[Row, Serving], Point]) -> Measurements:
    points: list[Point] = []
    skipped: list[Skipped] = []
    for row in rows:
        try:
            points.append(point(row, _replica(row)))
        except UnknownReplica as error:
            skipped.append(Skipped(id=row.where, why=str(error)))
    return Measurements(points=tuple(points), skipped=tuple(skipped))


def _replica(row: Row) -> Serving:
    model = row.text("model")
    return replica(
        model=model,
        system=row.text("gpu"),
        engine=row.text("backend"),
        version=row.text("backend_version"),
        precision="fp8" if model.lower().endswith("fp8") else "bf16",  # the table names it in the model only
        gpus=row.count("tp"),
    )


def _name(serving: Serving, rest: str) -> str:
    tail = serving.model.name.rpartition("/")[2]
    return f"{tail}_{serving.gpu.name.replace(' ', '_')}_tp{serving.gpus}_{rest}"
