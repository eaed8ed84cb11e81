"""How many KV blocks a replica has: what memory is left beside weights and workspace.

An engine's own count is better than this (it logs it at start-up): the workspace depends on engine, version and
settings, and where the pool is full the block count decides how long requests wait. So it is an input everywhere; this
is only its default. Against four engines that stated or showed their count it errs by 1 to 2 %.
"""

from dataclasses import dataclass

from penstock.errors import InputError
from penstock.hardware.gpus import GIB
from penstock.hardware.serving import Serving

MEMORY_SHARE = 0.9  # of the GPU's memory that an engine takes; vLLM's default of gpu_memory_utilization
CONTEXT_BYTES = 0.65e9  # CUDA context, graphs, buffers of the all-reduce; from the block counts of vLLM 0.10 and 0.19
# Activations of one step, by token of its budget and value of the hidden state: the residual stream, the inner width of
# the feed-forward part and the logits of a warm-up run; from the same.
ACTIVATION_BYTES = 52.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KvCapacity:
    """KV pool of one replica. `tokens`: of a long context; `blocks`: of `block_tokens` tokens each."""

    tokens: int
    blocks: int


def kv_capacity(
    serving: Serving,
    *,
    block_tokens: int = 16,
    max_num_batched_tokens: int = 8192,
    memory_share: float = MEMORY_SHARE,
) -> KvCapacity:
    """Derive the KV pool of a replica.

    Args:
        max_num_batched_tokens: token budget of a step, which sizes the workspace.
        memory_share: of the GPU's memory that the engine may take.
    Raises: InputError, if the model does not fit, by how many GiB.
    """
    if not 0 < memory_share <= 1:
        raise InputError("memory share", f"{memory_share:g} will not do", "it is above 0 and at most 1")
    allowed = serving.gpu.memory_bytes * memory_share
    workspace = CONTEXT_BYTES + max_num_batched_tokens * serving.model.hidden * ACTIVATION_BYTES
    left = allowed - serving.weight_bytes - workspace
    room = serving.kv_bytes_per_token * block_tokens + serving.window_kv_bytes
    if left < room:
        lacking = (room - left) / GIB
        raise InputError(
            f"{serving.model.name} on {serving.gpus} x {serving.gpu.name}",
            f"does not fit, by {lacking:.1f} GiB: {serving.weight_bytes / GIB:.1f} GiB of weights and "
            f"{workspace / GIB:.1f} GiB of workspace on each GPU, of which {allowed / GIB:.1f} GiB may be used",
            "use more GPUs, larger ones, or a narrower precision",
        )
    tokens = int(left / serving.kv_bytes_per_token)
    return KvCapacity(tokens=tokens, blocks=max(1, tokens // block_tokens))
