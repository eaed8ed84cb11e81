"""How one replica of a component runs: the engine's limits, its speed, its start-up, its GPU."""

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.messages.fields import SpecModel


class StepTimeSpec(SpecModel):
    """Seconds that one engine step takes.

        step = base + prefillStep * [prompts in it] + prefillToken * T + prefillAttention * A
               + sequence * B + contextToken * C + experts * read(T + B)

    T: prompt tokens computed in the step; A: (query, key) pairs of those tokens; B: decoding sequences; C: their
    summed context; read(n): share of a mixture's experts that n tokens touch, 1 - 1 / sqrt(1 + 2 n expertShare).
    Defaults: about Qwen3-0.6B on one H100 NVL. With `profile` they are derived.
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
    prefill_step_s: float = Field(default=0.0, ge=0, le=10)
    """Seconds more that a step with prompts takes, whatever their length: its launches are not recorded beforehand."""
    experts_s: float = Field(default=0.0, ge=0, le=10)
    """Seconds to read all experts of a mixture; a step reads those that its tokens touch."""
    expert_share: float = Field(default=0.0, ge=0, le=1)
    """Experts that one token passes, of all of a layer."""


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
    profile: str | None = Field(default=None, min_length=1)
    """`shipped`, or a file of `penstock profile fit`: what is not stated of `stepTime`, `kvBlocks` and `kvTransfer` is
    then derived for the model, cut over the GPUs of `gpu`; `simulated` counts as vLLM."""
    precision: Literal["bf16", "fp8", "fp4"] = "bf16"
    """Of the weights, for `profile`."""
    expert_parallel: bool = False
    """Whole experts on each GPU rather than a slice of every expert, for `profile`."""
    max_num_seqs: int = Field(default=256, ge=1, le=65_536)
    """Sequences that run at once."""
    max_num_batched_tokens: int = Field(default=8192, ge=16, le=1_048_576)
    """Tokens that one step computes at most; a longer prompt is prefilled in chunks."""
    max_model_len: int = Field(default=32_768, ge=16, le=10_000_000)
    """Prompt and output tokens of one request at most."""
    block_tokens: int = Field(default=16, ge=1, le=4096)
    """Tokens of a KV block."""
    kv_blocks: int = Field(default=16_384, ge=2, le=100_000_000)
    """KV blocks of one replica: they decide when requests queue. Derived with `profile`, else an input."""
    step_time: StepTimeSpec = StepTimeSpec()
    """How long a step takes."""
    kv_transfer: KvTransferSpec = KvTransferSpec()
    """How long KV takes from prefill to decode, where they are apart."""
    startup: StartupSpec = StartupSpec()
    """How long a new worker takes until it serves."""
    drain_timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds that a worker may take to finish its requests when it is to go."""

    @model_validator(mode="after")
    def _profile_is_named(self) -> Self:
        if self.profile is None and self.precision != "bf16":
            raise ValueError(f"precision {self.precision} does nothing without a profile; add profile: shipped")
        if self.profile is None and self.expert_parallel:
            raise ValueError("expertParallel does nothing without a profile; add profile: shipped")
        return self


class GpuSpec(SpecModel):
    """The GPUs that one replica takes: an Azure VM size and how many of its GPUs."""

    vm_size: str
    """Azure VM size, by which a replica is priced."""
    count: int = Field(default=1, ge=1, le=64)
    """GPUs of one replica, over which its model is cut (tensor parallelism); it pays that share of the VM."""
