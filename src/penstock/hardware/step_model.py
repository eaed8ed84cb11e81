"""How long a step of a served model takes: from its shape, the GPU, the cut, the precision and the engine.

Decides seven coefficients; `penstock.calibration` fits the fractions and latencies they rest on.

    step = step + prefill_step * [prompts in it] + prefill_token * T + prefill_pair * A
           + sequence * B + context_token * C + experts * read(T + B)

T, A, B, C as in `steptime`; read(n): share of the experts that n tokens touch. Physics: a step launches its layers and
all-reduces, reads weights once and the KV of every sequence, and computes its tokens. The parts are added rather than
overlapped: nearly as good as a maximum (4.4 % instead of 4 % on the points tried first), and linear in context, which
is what lets a burst of steps be summed in closed form.

What the parts rest on is shared by all models, with a few factors per engine; where an engine was measured with a model
on a GPU, a correction of that campaign multiplies in.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

from penstock.hardware.serving import Serving
from penstock.hardware.steptime import StepTime
from penstock.messages.engine_spec import StepTimeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What holds for every model and engine. Fractions are of the GPU's peak.

    Args:
        weights_bf16, weights_fp8, experts, kv: memory bandwidth reached when reading weights, experts, KV.
        gemm_bf16, gemm_fp8, attention: arithmetic reached by matrix products and by attention over a prompt.
        gemm_experts: matrix products of experts, as a fraction of the others.
        decode_compute: share of a token's arithmetic that shows in a step that reads weights anyway.
        link: of the link's bandwidth that all-reduces reach.
        all_reduce_s, all_reduce_growth: latency of one, times gpus ** growth.
        layer_s, moe_layer_s, mla_layer_s, ep_layer_s: launching a layer; more, if it has experts; MLA; whole experts.
        step_s, sequence_s: of each step; of each sequence in it: scheduling, sampling, detokenising.
        prefill_step_s, prefill_layer_*_s: more for a step with prompts, whose launches are not recorded beforehand.
        request_s, lag_steps: what a client waits on top: fixed, and in steps of decoding.
    """

    weights_bf16: float
    weights_fp8: float
    experts: float
    kv: float
    gemm_bf16: float
    gemm_fp8: float
    gemm_experts: float
    attention: float
    decode_compute: float
    link: float
    all_reduce_s: float
    all_reduce_growth: float
    layer_s: float
    moe_layer_s: float
    mla_layer_s: float
    ep_layer_s: float
    step_s: float
    sequence_s: float
    prefill_step_s: float
    prefill_layer_dense_s: float
    prefill_layer_moe_s: float
    prefill_layer_mla_s: float
    request_s: float
    lag_steps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFactors:
    """By how much an engine differs, as factors of times. 1: not at all."""

    layer: float = 1.0
    step: float = 1.0
    sequence: float = 1.0
    gemm: float = 1.0
    prefill_layer: float = 1.0
    expert_parallel: float = 1.0
    request: float = 1.0
    lag: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """By how much a measured campaign (model, GPU, engine) differs, as factors of times. 1: not at all."""

    layer: float = 1.0
    weights: float = 1.0
    sequence: float = 1.0
    gemm: float = 1.0
    decode_compute: float = 1.0
    kv: float = 1.0
    prefill_step: float = 1.0
    request: float = 1.0
    lag: float = 1.0


class StepCoefficients(NamedTuple):
    """Seconds per unit of each feature; the order is that of `calibration.features`."""

    step_s: float
    prefill_step_s: float
    prefill_token_s: float
    prefill_pair_s: float
    sequence_s: float
    context_token_s: float
    experts_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingTimes:
    """What is predicted of a replica.

    Args:
        step: its step time.
        request_s, lag_steps: what a client waits for a first token on top of its steps: seconds, and steps of decoding.
    """

    step: StepCoefficients
    request_s: float
    lag_steps: float

    def spec(self, serving: Serving) -> StepTimeSpec:
        """The step time as a deployment file has it."""
        step = self.step
        return StepTimeSpec(
            base_s=step.step_s,
            prefill_token_s=step.prefill_token_s,
            prefill_attention_s=step.prefill_pair_s,
            sequence_s=step.sequence_s,
            context_token_s=step.context_token_s,
            prefill_step_s=step.prefill_step_s,
            experts_s=step.experts_s,
            expert_share=serving.model.expert_share,
        )

    def step_time(self, serving: Serving) -> StepTime:
        """The step time in ticks, for an engine on a clock."""
        return StepTime.from_spec(self.spec(serving))


def serving_times(shared: Shared, engine: EngineFactors, correction: Correction, serving: Serving) -> ServingTimes:
    """Predict the times of a replica."""
    model, gpu = serving.model, serving.gpu
    bandwidth = gpu.bandwidth_bytes_per_s
    narrow = serving.common_precision == "fp8" and gpu.fp8_flops > 0
    gemm = (shared.gemm_fp8 if narrow else shared.gemm_bf16) / (engine.gemm * correction.gemm)
    expert_narrow = serving.expert_precision != "bf16" and gpu.flops(serving.expert_precision) > gpu.bf16_flops
    expert_gemm = (shared.gemm_fp8 if expert_narrow else shared.gemm_bf16) * shared.gemm_experts
    expert_gemm /= engine.gemm * correction.gemm
    weights = shared.weights_bf16 if serving.common_precision == "bf16" else shared.weights_fp8

    layers = model.layers * shared.layer_s + model.moe_layers * shared.moe_layer_s
    if model.mla:
        layers += model.layers * shared.mla_layer_s
    layers *= engine.layer
    if serving.expert_parallel:
        layers += model.moe_layers * shared.ep_layer_s * engine.expert_parallel
    layers += serving.all_reduces * shared.all_reduce_s * serving.gpus**shared.all_reduce_growth

    prefill_layer = {
        "dense": shared.prefill_layer_dense_s,
        "moe": shared.prefill_layer_moe_s,
        "mla": shared.prefill_layer_mla_s,
    }[model.kind]
    compute = serving.common_s / gemm + serving.experts_s / expert_gemm
    all_reduce = serving.all_reduce_bytes / (gpu.link_bytes_per_s * shared.link)
    decode = compute + serving.head_s / shared.gemm_bf16
    step = StepCoefficients(
        step_s=shared.step_s * engine.step
        + layers * correction.layer
        + serving.common_bytes / (bandwidth * weights) * correction.weights,
        prefill_step_s=(shared.prefill_step_s + model.layers * prefill_layer * engine.prefill_layer)
        * correction.prefill_step,
        prefill_token_s=compute + all_reduce + serving.window_s / shared.attention,
        prefill_pair_s=serving.pair_s / shared.attention,
        sequence_s=shared.sequence_s * engine.sequence * correction.sequence
        + shared.decode_compute * correction.decode_compute * decode
        + all_reduce
        + serving.window_kv_bytes / (bandwidth * shared.kv),
        context_token_s=serving.kv_bytes_per_token / (bandwidth * shared.kv) * correction.kv,
        experts_s=serving.expert_bytes / (bandwidth * shared.experts) * correction.weights,
    )
    return ServingTimes(
        step=step,
        request_s=shared.request_s * engine.request * correction.request,
        lag_steps=shared.lag_steps * engine.lag * correction.lag,
    )


def names(kind: type[Shared] | type[EngineFactors] | type[Correction]) -> tuple[str, ...]:
    """Its fields, in order."""
    return tuple(field.name for field in fields(kind))
