"""Bytes and operations of a replica, against figures worked out by hand."""

import pytest

from penstock.hardware.gpus import gpu
from penstock.hardware.models import known_model
from penstock.hardware.serving import Serving

H100 = gpu("H100")


def replica(model: str, **changes: object) -> Serving:
    return Serving(**{"model": known_model(model), "gpu": H100, "engine": "vllm", **changes})  # type: ignore[arg-type]


def test_weights_are_cut_over_the_gpus_and_halved_by_fp8() -> None:
    """70.55 billion: 141 GB at 16 bits; at 8 bits embeddings and head, 2.1 billion, keep 16."""
    assert replica("Llama-3.3-70B", gpus=4).weight_bytes == pytest.approx(141.1e9 / 4, rel=1e-3)
    assert replica("Llama-3.3-70B", gpus=2, precision="fp8").weight_bytes == pytest.approx(72.65e9 / 2, rel=1e-3)


def test_4_bit_experts_leave_the_rest_at_16_bits() -> None:
    """gpt-oss-120b is published at 65 GB, whatever precision is asked for."""
    for precision in ("bf16", "fp4"):
        served = replica("gpt-oss-120b", precision=precision)
        assert served.weight_bytes == pytest.approx(65.2e9, rel=0.01)
        assert served.common_precision == "bf16"


def test_kv_of_a_token() -> None:
    """Llama 3.3 70B: 80 layers x 2 x 8 heads x 128 x 2 bytes; no smaller than one head on a GPU."""
    assert replica("Llama-3.3-70B").kv_bytes_per_token == 327_680
    assert replica("Llama-3.3-70B", gpus=8).kv_bytes_per_token == 40_960
    assert replica("Qwen3-235B-A22B", gpus=8).kv_bytes_per_token == 94 * 2 * 128 * 2


def test_mla_keeps_its_latent_whole_on_each_gpu() -> None:
    """576 numbers a layer; TensorRT-LLM keeps them at 8 bits with an FP8 checkpoint."""
    assert replica("DeepSeek-R1", gpus=8, precision="fp8").kv_bytes_per_token == 61 * 576 * 2
    assert replica("DeepSeek-R1", gpus=8, precision="fp8", engine="trtllm").kv_bytes_per_token == 61 * 576


def test_layers_with_a_window_hold_a_constant() -> None:
    """Half of gpt-oss' layers reach back 128 tokens: those cost by sequence, not by token of context."""
    served = replica("gpt-oss-120b")
    assert served.kv_bytes_per_token == 18 * 2 * 8 * 64 * 2
    assert served.window_kv_bytes == 128 * served.kv_bytes_per_token


def test_a_gpu_alone_sends_nothing() -> None:
    """And two send each token's hidden state twice a layer."""
    assert replica("Qwen3-32B").all_reduce_bytes == 0
    assert replica("Qwen3-32B", gpus=2).all_reduce_bytes == 2 * 64 * 5120 * 2


def test_one_tokens_arithmetic() -> None:
    """Two operations a weight: 31.2 billion at 989 teraflop/s, over two GPUs."""
    assert replica("Qwen3-32B", gpus=2).common_s == pytest.approx(31.2e9 / 989e12, rel=0.01)
