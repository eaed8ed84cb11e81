"""How one replica of a component runs: the engine's limits, its speed, its start-up, its GPU."""

from typing import Literal

from pydantic import Field

from penstock.messages.fields import SpecModel


class StepTimeSpec(SpecModel):
    """Seconds that one engine step takes, linear in its work.

        step = base + prefillToken * T + prefillAttention * A + sequence * B + contextToken * C

    T: prompt tokens computed in the step; A: (query, key) pairs of those tokens; B: decoding sequences; C: their
    summed context. Defaults: about Qwen3-0.6B on one H100 NVL.
    """

    base_s: float = Field(default=2.0e-3, gt=0, le=10)
    """Seconds that every step takes, whatever is in it: launch, layers, sampling."""
    prefill_token_s: float = Field(default=1.2e-5, ge=0, le=1)
    """Seconds per prompt token computed."""
    prefill_attention_s: float = Field(default=6.0e-10, ge=0, le=1)
    """Seconds per pair of a computed prompt token and a token before it."""
    sequence_s: float = Field(default=2.0e-5, ge=0, le=1)
    """Seconds per decoding sequence."""
    context_token_s: float = Field(default=2.5e-8, ge=0, le=1)
    """Seconds per token of context that decoding sequences read."""


class KvTransferSpec(SpecModel):
    """How long the KV cache of a prompt takes from a prefill worker to a decode worker."""

    latency_s: float = Field(default=0.002, ge=0, le=60)
    """Seconds before the first byte."""
    tokens_per_second: float = Field(default=400_000, gt=0)
    """Tokens whose KV cache crosses in a second."""


class StartupSpec(SpecModel):
    """Delay before a new worker serves: node, image and weights. A slot's first start is cold, later ones warm."""

    cold_s: float = Field(default=30.0, ge=0, le=3600)
    """Seconds until a worker on a new node serves: node, driver, image, weights."""
    warm_s: float = Field(default=5.0, ge=0, le=3600)
    """Seconds where image and weights are there already."""


class EngineSpec(SpecModel):
    """The engine that each replica runs. `simulated` needs no GPU: Penstock's engine core in real time."""

    type: Literal["simulated", "vllm", "sglang"] = "simulated"
    """`penstock up` starts `simulated` only. Real engines of your own can stand behind `penstock gateway`."""
    max_num_seqs: int = Field(default=256, ge=1, le=65_536)
    """Sequences that run at once."""
    max_num_batched_tokens: int = Field(default=8192, ge=16, le=1_048_576)
    """Tokens that one step computes at most; a longer prompt is prefilled in chunks."""
    max_model_len: int = Field(default=32_768, ge=16, le=10_000_000)
    """Prompt and output tokens of one request at most."""
    block_tokens: int = Field(default=16, ge=1, le=4096)
    """Tokens of a KV block."""
    kv_blocks: int = Field(default=16_384, ge=2, le=100_000_000)
    """KV blocks of one replica. An input, not derived: it decides when requests queue."""
    step_time: StepTimeSpec = StepTimeSpec()
    """How long a step takes."""
    kv_transfer: KvTransferSpec = KvTransferSpec()
    """How long KV takes from prefill to decode, where they are apart."""
    startup: StartupSpec = StartupSpec()
    """How long a new worker takes until it serves."""
    drain_timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds that a worker may take to finish its requests when it is to go."""


class GpuSpec(SpecModel):
    """The GPUs that one replica takes: an Azure VM size and how many of its GPUs."""

    vm_size: str
    """Azure VM size, by which a replica is priced."""
    count: int = Field(default=1, ge=1, le=64)
    """GPUs of one replica; it pays that share of the VM."""
