"""A step time as the five linear coefficients that come nearest: for those who reckon in means, as the router does."""

from penstock.hardware.steptime import experts_read
from penstock.messages.engine_spec import StepTimeSpec


def linear(step: StepTimeSpec, *, sequences: int = 32, prompt_tokens: int = 1024) -> StepTimeSpec:
    """Spread what depends on the kind of a step over its sequences and tokens.

    Exact for `sequences` that decode, and for a prompt of `prompt_tokens` beside them; close from half to twice as
    many. A step time that is linear already is given back as it is.
    """
    if not step.prefill_step_s and not step.experts_s:
        return step

    def experts(tokens: int) -> float:
        return step.experts_s * experts_read(tokens, step.expert_share)

    few, many = max(1, sequences // 2), 2 * sequences
    slope = (experts(many) - experts(few)) / (many - few)
    rest = experts(prompt_tokens + sequences) - experts(sequences)
    return StepTimeSpec(
        base_s=step.base_s + experts(sequences) - slope * sequences,
        prefill_token_s=step.prefill_token_s + (step.prefill_step_s + rest) / prompt_tokens,
        prefill_attention_s=step.prefill_attention_s,
        sequence_s=step.sequence_s + slope,
        context_token_s=step.context_token_s,
    )
