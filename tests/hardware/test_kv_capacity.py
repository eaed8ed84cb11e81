"""The derived KV pool: near what engines stated, and a clear word when a model does not fit."""

import pytest

from penstock.errors import InputError
from penstock.hardware.gpus import Precision, gpu
from penstock.hardware.kv_capacity import kv_capacity
from penstock.hardware.models import known_model
from penstock.hardware.serving import Serving


@pytest.mark.parametrize(
    ("model", "card", "gpus", "precision", "budget", "stated"),
    [
        ("Llama-3.3-70B", "H100 SXM", 2, "fp8", 8192, 224_133),  # ai-dynamo 1.2.1, vLLM 0.10.1.1
        ("Llama-3.1-8B", "H200 SXM", 1, "fp8", 8192, 945_029),  # the same
        ("Llama-3.1-8B", "RTX 4090", 1, "bf16", 2048, 42_000),  # fitted to a full run of vLLM 0.19
    ],
)
def test_the_derived_pool_is_near_what_vllm_had(
    model: str, card: str, gpus: int, precision: Precision, budget: int, stated: int
) -> None:
    serving = Serving(model=known_model(model), gpu=gpu(card), engine="vllm", gpus=gpus, precision=precision)
    assert kv_capacity(serving, max_num_batched_tokens=budget).tokens == pytest.approx(stated, rel=0.02)


def test_a_model_that_does_not_fit_is_refused_by_how_many_gib() -> None:
    """671 billion weights at 8 bits on eight GPUs of 80 GB."""
    serving = Serving(model=known_model("DeepSeek-V3"), gpu=gpu("H100"), engine="vllm", gpus=8, precision="fp8")
    with pytest.raises(InputError, match=r"8 x H100 SXM: does not fit, by 10\.\d GiB: 78\.3 GiB of weights"):
        kv_capacity(serving)


def test_blocks_hold_whole_tokens() -> None:
    serving = Serving(model=known_model("Qwen3-0.6B"), gpu=gpu("H100"), engine="vllm")
    sixteen, one = kv_capacity(serving), kv_capacity(serving, block_tokens=1)
    assert (sixteen.blocks, one.blocks) == (sixteen.tokens // 16, one.tokens)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1])
def test_a_share_of_the_memory_is_a_share(share: float) -> None:
    serving = Serving(model=known_model("Qwen3-0.6B"), gpu=gpu("H100"), engine="vllm")
    with pytest.raises(InputError, match="memory share"):
        kv_capacity(serving, memory_share=share)
