"""An engine's step time, KV blocks and KV transfer, derived for a model on the GPUs of a VM size.

Decides what a deployment's `engine` gets where it names a profile; what the deployment states itself is left alone. It
reads no file: model shape and profile are handed in.
"""

from penstock.errors import InputError
from penstock.hardware.gpus import gpu_of_vm_size
from penstock.hardware.memory_fit import capacity_of, cuts
from penstock.hardware.models import ModelShape
from penstock.hardware.profile import Profile
from penstock.hardware.serving import EngineName, Serving
from penstock.hardware.vm_sizes import VmSize, vm_size
from penstock.messages.engine_spec import EngineSpec, GpuSpec, KvTransferSpec

NETWORK_SHARE = 0.8  # of the line rate that KV reaches; assumed, not measured
_GBIT = 1e9 / 8


def serving_of(engine: EngineSpec, gpu: GpuSpec, shape: ModelShape) -> Serving:
    """What one replica runs. Raises: InputError, for a VM size that is not known, or a cut that cannot be."""
    size = vm_size(gpu.vm_size)
    if gpu.count > size.gpus:
        raise InputError(
            "gpu.count",
            f"{gpu.count} GPUs, and {size.name} has {size.gpus}: a replica over several VMs has no profile",
            f"use at most {size.gpus}, or a VM size with more",
        )
    if shape.heads % gpu.count:
        fits = ", ".join(str(count) for count in cuts(shape.heads, size))
        raise InputError("gpu.count", f"{shape.heads} attention heads do not divide by {gpu.count}", f"use {fits}")
    return Serving(
        model=shape,
        gpu=gpu_of_vm_size(size.name),
        engine=engine_name(engine),
        precision=engine.precision,
        gpus=gpu.count,
        expert_parallel=engine.expert_parallel,
    )


def engine_name(engine: EngineSpec) -> EngineName:
    """The measured engine that it stands for."""
    return "sglang" if engine.type == "sglang" else "vllm"


def derived_engine(engine: EngineSpec, gpu: GpuSpec, shape: ModelShape, profile: Profile) -> EngineSpec:
    """The engine with what its profile knows filled in. Raises: InputError, also if the model does not fit."""
    serving = serving_of(engine, gpu, shape)
    derived: dict[str, object] = {}
    if "step_time" not in engine.model_fields_set:
        derived["step_time"] = profile.times(serving).spec(serving)
    if "kv_blocks" not in engine.model_fields_set:
        derived["kv_blocks"] = max(2, capacity_of(engine, serving, vm_size(gpu.vm_size)).blocks)
    if "kv_transfer" not in engine.model_fields_set:
        derived["kv_transfer"] = kv_transfer(serving, vm_size(gpu.vm_size), default=engine.kv_transfer)
    return engine.model_copy(update=derived)


def kv_transfer(serving: Serving, size: VmSize, *, default: KvTransferSpec) -> KvTransferSpec:
    """From one VM to another: each GPU sends its share of the KV over its share of the network."""
    if size.network_gbit_per_s is None:
        return default
    bytes_per_s = NETWORK_SHARE * size.network_gbit_per_s * _GBIT
    return default.model_copy(update={"tokens_per_second": bytes_per_s / serving.kv_bytes_per_token})
