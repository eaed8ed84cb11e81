"""What one replica runs: a model, cut over GPUs, at a precision, in an engine; and the bytes and operations of that.

Everything here is counted, nothing fitted: bytes of weights and KV on one GPU, operations of one token on one GPU.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from penstock.errors import InputError
from penstock.hardware.gpus import Gpu, Precision
from penstock.hardware.models import ModelShape

EngineName = Literal["vllm", "sglang", "trtllm"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
# Bytes of a weight; of 4 bits with their scales: one byte for 32 of them (MXFP4) or for 16 (NVFP4).
_WEIGHT_BYTES = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5625}
_MXFP4_BYTES = 0.53125
_HEAD_BYTES = 2.0  # embeddings and output head stay at 16 bits
_ACTIVATION_BYTES = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One replica.

    Args:
        version: of the engine; "" if not known.
        precision: of the weights, as published or quantised.
        gpus: over which each layer is cut (tensor parallelism).
        expert_parallel: whole experts on each GPU, rather than a slice of every expert.
    """

    model: ModelShape
    gpu: Gpu
    engine: EngineName
    version: str = ""
    precision: Precision = "bf16"
    gpus: int = 1
    expert_parallel: bool = False

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise InputError("gpus", f"{self.gpus} GPUs", "a replica takes at least one")

    @property
    def expert_precision(self) -> Precision:
        """Of the experts' weights."""
        return "fp4" if self.model.mxfp4 else self.precision

    @property
    def common_precision(self) -> Precision:
        """Of all other weights. Models with 4-bit experts keep 16 bits there."""
        return "bf16" if self.model.mxfp4 or (self.precision == "fp4" and self.model.experts) else self.precision

    @property
    def common_bytes(self) -> float:
        """Weights on one GPU that every step reads: all but experts and embeddings."""
        common = self.model.common_params * _WEIGHT_BYTES[self.common_precision]
        return (common + self.model.head_params * _HEAD_BYTES) / self.gpus

    @property
    def expert_bytes(self) -> float:
        """Weights of all experts on one GPU; a step reads those that its tokens touch."""
        each = _MXFP4_BYTES if self.model.mxfp4 else _WEIGHT_BYTES[self.precision]
        return self.model.expert_params * each / self.gpus

    @property
    def weight_bytes(self) -> float:
        """All weights on one GPU."""
        embeddings = 0 if self.model.tied_embeddings else self.model.head_params * _HEAD_BYTES / self.gpus
        return self.common_bytes + self.expert_bytes + embeddings

    @property
    def kv_bytes_per_layer(self) -> float:
        """KV cache of one token of one layer on one GPU. MLA's latent is kept whole on each."""
        # TensorRT-LLM follows an FP8 checkpoint; vLLM and SGLang keep 16 bits unless told.
        value_bytes = 1.0 if self.engine == "trtllm" and self.precision == "fp8" else 2.0
        shares = 1 if self.model.mla else min(self.gpus, self.model.kv_heads)
        return self.model.kv_values_per_layer * value_bytes / shares

    @property
    def kv_bytes_per_token(self) -> float:
        """KV cache that one token of a long context takes on one GPU, layers without a window."""
        return self.kv_bytes_per_layer * (self.model.layers - self.model.window_layers)

    @property
    def window_kv_bytes(self) -> float:
        """KV cache that a sequence takes in layers with a window, once it is longer than that."""
        return self.kv_bytes_per_layer * self.model.window_layers * self.model.window

    @property
    def common_s(self) -> float:
        """Seconds of one token's matrix products on one GPU at its peak, experts apart."""
        return 2 * self.model.common_params / self.gpus / self.gpu.flops(self.common_precision)

    @property
    def experts_s(self) -> float:
        """The same for the experts of one token."""
        return 2 * self.model.active_expert_params / self.gpus / self.gpu.flops(self.expert_precision)

    @property
    def head_s(self) -> float:
        """The same for the output head."""
        return 2 * self.model.head_params / self.gpus / self.gpu.flops("bf16")

    @property
    def pair_s(self) -> float:
        """The same for one (query, key) pair, layers without a window."""
        full = self.model.layers - self.model.window_layers
        return self.model.attention_flops_per_pair * full / self.gpus / self.gpu.flops("bf16")

    @property
    def window_s(self) -> float:
        """The same for one token's pairs in layers with a window."""
        pairs = self.model.window_layers * self.model.window
        return self.model.attention_flops_per_pair * pairs / self.gpus / self.gpu.flops("bf16")

    @property
    def all_reduces(self) -> int:
        """All-reduces of one step: after the attention and after the feed-forward part of each layer."""
        return 2 * self.model.layers if self.gpus > 1 else 0

    @property
    def all_reduce_bytes(self) -> float:
        """Bytes that one token sends over a GPU's link in all of them, as a ring does it."""
        return self.all_reduces * self.model.hidden * _ACTIVATION_BYTES * 2 * (self.gpus - 1) / self.gpus
