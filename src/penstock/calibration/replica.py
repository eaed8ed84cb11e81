"""What a row of measurements was measured on, or why Penstock cannot tell."""

from penstock.errors import InputError
from penstock.hardware.gpus import Precision, gpu
from penstock.hardware.models import known_model
from penstock.hardware.serving import ENGINES, Serving


class UnknownReplica(Exception):
    """A row that cannot be replayed; says why."""


def replica(
    *, model: str, system: str, engine: str, version: str, precision: Precision, gpus: int, ep: bool = False
) -> Serving:
    """The replica of a row. Raises: UnknownReplica, if Penstock does not know its model, GPU or engine."""
    if engine not in ENGINES:
        raise UnknownReplica(f"unknown engine {engine!r}; known are {', '.join(ENGINES)}")
    try:
        return Serving(
            model=known_model(model),
            gpu=gpu(system),
            engine=engine,
            version=version,
            precision=precision,
            gpus=gpus,
            expert_parallel=ep,
        )
    except InputError as error:
        raise UnknownReplica(f"{error.what}; {error.fix}") from error
