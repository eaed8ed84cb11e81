"""Model shapes: sizes as published, and config.json files read or refused."""

from typing import Any

import pytest

from penstock.errors import InputError
from penstock.hardware.models import known_model, known_models, parse_config

DENSE: dict[str, Any] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14_336,
    "vocab_size": 128_256,
}


@pytest.mark.parametrize(
    ("name", "kind", "billions", "active"),
    [
        ("Qwen/Qwen3-0.6B", "dense", 0.596, 0.596),
        ("Qwen/Qwen3-8B", "dense", 8.19, 7.57),
        ("meta-llama/Llama-3.1-8B-Instruct", "dense", 8.03, 7.5),
        ("meta-llama/Llama-3.3-70B-Instruct", "dense", 70.6, 69.5),
        ("Qwen/Qwen3-30B-A3B", "moe", 30.5, 3.04),
        ("Qwen/Qwen3-235B-A22B", "moe", 235.1, 21.6),
        ("mistralai/Mixtral-8x7B-v0.1", "moe", 46.7, 12.75),
        ("openai/gpt-oss-20b", "moe", 20.9, 3.6),
        ("openai/gpt-oss-120b", "moe", 116.8, 5.1),
        ("deepseek-ai/DeepSeek-V3", "mla", 671.0, 36.6),
    ],
)
def test_known_models_have_their_published_sizes(name: str, kind: str, billions: float, active: float) -> None:
    """Total and active weights, in billions; active ones without the embeddings, which are only looked up."""
    shape = known_model(name)
    passed = shape.common_params + shape.active_expert_params + shape.head_params
    assert shape.kind == kind
    assert shape.params / 1e9 == pytest.approx(billions, rel=0.005)
    assert passed / 1e9 == pytest.approx(active, rel=0.01)


def test_models_of_one_shape_share_it() -> None:
    """A calibration of one holds for the others."""
    assert known_model("deepseek-ai/DeepSeek-R1") is known_model("DeepSeek-V3")
    assert known_model("nvidia/Llama-3.3-70B-Instruct-FP8").name == known_model("meta-llama/Llama-3.1-70B").name


def test_no_two_models_share_a_name() -> None:
    names = {name for shape in known_models().values() for name in [shape.name.lower()]}
    assert len(names) == len(set(known_models().values()))


def test_an_unknown_model_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(InputError, match=r"^--model: unknown model 'Qwen/Qwen3-33B'; .*Qwen/Qwen3-32B"):
        known_model("Qwen/Qwen3-33B", where="--model")


def test_the_head_width_defaults_to_an_equal_share_of_the_hidden_size() -> None:
    shape = parse_config(DENSE, name="mine")
    assert shape.head_dim == 128
    assert shape.params == known_model("meta-llama/Llama-3.1-8B").params


def test_experts_are_read_in_each_spelling() -> None:
    """Qwen's own width and count, Mixtral's reuse of the common width, DeepSeek's shared expert and dense layers."""
    qwen = parse_config(DENSE | {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 768}, name="q")
    mixtral = parse_config(DENSE | {"num_local_experts": 8, "num_experts_per_tok": 2}, name="m")
    deepseek = parse_config(
        DENSE
        | {
            "n_routed_experts": 8,
            "n_shared_experts": 2,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 512,
            "first_k_dense_replace": 3,
        },
        name="d",
    )
    assert (qwen.expert_width, qwen.moe_layers, qwen.shared_width) == (768, 32, 0)
    assert (mixtral.expert_width, mixtral.experts) == (14_336, 8)
    assert (deepseek.moe_layers, deepseek.shared_width) == (29, 1024)


def test_a_nested_text_config_is_found() -> None:
    assert parse_config({"text_config": DENSE, "vision_config": {}}, name="mine").layers == 32


def test_windows_count_only_with_layer_types() -> None:
    """`sliding_window` alone says nothing: many models carry it unused."""
    windows = {"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 16}
    assert parse_config(DENSE | windows, name="w").window_layers == 16
    assert parse_config(DENSE | {"sliding_window": 4096}, name="w").window == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, r"^mine/config.json: hidden_size: is missing"),
        ({"num_hidden_layers": -2}, r"num_hidden_layers: -2 is no size"),
        ({"vocab_size": "many"}, r"vocab_size: 'many' is no size"),
        ({"num_experts": 8}, r"num_experts_per_tok: is missing"),
        ({"kv_lora_rank": 512}, r"qk_rope_head_dim: is missing"),
    ],
)
def test_a_wrong_config_is_refused_by_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_config(DENSE | change, name="mine", where="mine/config.json")
