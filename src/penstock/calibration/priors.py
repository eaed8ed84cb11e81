"""What is believed before any measurement, and how firmly: values and spreads (standard deviations of the logarithm).

A handful of campaigns cannot tell two dozen parameters apart: without a prior, a layer's launch and an all-reduce trade
places until the next model is 30 % off. Values are what fits of single campaigns agree on, and what is known of the
hardware; the spreads say how much those fits differ. So they were set with the campaigns in view that are left out in
turn, which makes the errors of that a little too good.
"""

from collections.abc import Mapping

from penstock.hardware.serving import EngineName
from penstock.hardware.step_model import Correction, EngineFactors, Shared

SHARED = Shared(
    weights_bf16=0.87,
    weights_fp8=0.78,
    experts=0.85,
    kv=0.8,
    gemm_bf16=0.7,
    gemm_fp8=0.57,
    gemm_experts=0.4,
    attention=0.4,
    decode_compute=0.35,
    link=0.645,
    all_reduce_s=5e-6,
    all_reduce_growth=0.4,
    layer_s=32e-6,
    moe_layer_s=34e-6,
    mla_layer_s=25e-6,
    ep_layer_s=13e-6,
    step_s=0.6e-3,
    sequence_s=30e-6,
    prefill_step_s=3e-3,
    prefill_layer_dense_s=70e-6,
    prefill_layer_moe_s=200e-6,
    prefill_layer_mla_s=800e-6,
    request_s=15e-3,
    lag_steps=1.0,
)
SHARED_SPREAD = Shared(
    weights_bf16=0.05,
    weights_fp8=0.05,
    experts=0.15,
    kv=0.15,
    gemm_bf16=0.1,
    gemm_fp8=0.1,
    gemm_experts=0.4,
    attention=0.2,
    decode_compute=0.3,
    link=0.3,
    all_reduce_s=0.2,
    all_reduce_growth=0.2,
    layer_s=0.1,
    moe_layer_s=0.2,
    mla_layer_s=0.4,
    ep_layer_s=0.5,
    step_s=0.3,
    sequence_s=0.4,
    prefill_step_s=0.5,
    prefill_layer_dense_s=0.5,
    prefill_layer_moe_s=0.7,
    prefill_layer_mla_s=0.7,
    request_s=0.7,
    lag_steps=1.0,
)
# SGLang's first tokens reach a client some ten steps late, in every campaign. TensorRT-LLM's executor takes longer for
# a step and less for a layer.
ENGINES: Mapping[EngineName, EngineFactors] = {
    "vllm": EngineFactors(),
    "sglang": EngineFactors(lag=4.0),
    "trtllm": EngineFactors(layer=0.75, step=3.0),
}
ENGINE_SPREAD = EngineFactors(
    layer=0.07, step=0.4, sequence=0.3, gemm=0.1, prefill_layer=0.7, expert_parallel=1.0, request=0.8, lag=1.0
)
# How a campaign may differ from what is shared. Waits of clients and prompts vary most, between versions too.
CORRECTION_SPREAD = Correction(
    layer=0.15,
    weights=0.1,
    sequence=0.4,
    gemm=0.2,
    decode_compute=0.4,
    kv=0.2,
    prefill_step=0.7,
    request=0.7,
    lag=0.7,
)
