"""Whether a model fits the GPUs that a replica has, and if not, what would hold it."""

from dataclasses import replace

from penstock.errors import InputError
from penstock.hardware.gpus import Precision, gpu_of_vm_size
from penstock.hardware.kv_capacity import KvCapacity, kv_capacity
from penstock.hardware.serving import Serving
from penstock.hardware.vm_sizes import VM_SIZES, VmSize
from penstock.messages.engine_spec import EngineSpec

PARALLEL = (1, 2, 4, 8)  # GPUs over which models are cut
_NARROWER: dict[Precision, tuple[Precision, ...]] = {"bf16": ("fp8", "fp4"), "fp8": ("fp4",), "fp4": ()}
_OTHERS = 2  # VM sizes named, the cheapest


def cuts(heads: int, size: VmSize) -> tuple[int, ...]:
    """GPU counts over which a model with so many attention heads can be cut within one VM."""
    return tuple(count for count in PARALLEL if count <= size.gpus and not heads % count)


def capacity_of(engine: EngineSpec, serving: Serving, size: VmSize) -> KvCapacity:
    """The KV pool of a replica. Raises: InputError, if the model does not fit: by how many GiB, and what would."""
    try:
        return _capacity(engine, serving)
    except InputError as error:
        options = _what_fits(engine, serving, size)
        fix = f"use {' or '.join(options)}" if options else error.fix
        raise InputError("gpu", f"{error.where} {error.what}", fix) from error


def _capacity(engine: EngineSpec, serving: Serving) -> KvCapacity:
    return kv_capacity(serving, block_tokens=engine.block_tokens, max_num_batched_tokens=engine.max_num_batched_tokens)


def _what_fits(engine: EngineSpec, serving: Serving, size: VmSize) -> list[str]:
    """More GPUs of the same VM, the fewest that do; the cheapest other VM sizes; a narrower precision."""
    heads = serving.model.heads
    here = [f"count {gpus}" for gpus in cuts(heads, size) if _fits(engine, replace(serving, gpus=gpus))]
    others: list[tuple[float, str]] = []
    for other in VM_SIZES.values():
        there = replace(serving, gpu=gpu_of_vm_size(other.name))
        fewest = next((gpus for gpus in cuts(heads, other) if _fits(engine, replace(there, gpus=gpus))), None)
        if fewest is not None and other.name != size.name:
            others.append((fewest * other.usd_per_gpu_hour, f"vmSize {other.name} with count {fewest}"))
    narrower = [
        f"precision {name}" for name in _NARROWER[serving.precision] if _fits(engine, replace(serving, precision=name))
    ]
    return [*here[:1], *(text for _, text in sorted(others)[:_OTHERS]), *narrower[:1]]


def _fits(engine: EngineSpec, serving: Serving) -> bool:
    try:
        _capacity(engine, serving)
    except InputError:
        return False
    return True
