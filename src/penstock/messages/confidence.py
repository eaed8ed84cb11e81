"""How far a predicted step time may be off, and why: carried by a profile, and on by every result that rests on one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """How far a prediction may be off, and why.

    Args:
        ttft_error, tpot_error: mean absolute relative error to expect; 0.05 is 5 %.
        calibrated: whether this model was measured on this GPU with this engine, at more than a handful of points.
        model_seen, gpu_seen, engine_seen: whether each was measured at all.
    """

    ttft_error: float
    tpot_error: float
    calibrated: bool
    model_seen: bool
    gpu_seen: bool
    engine_seen: bool
