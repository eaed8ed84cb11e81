"""Step time with what a measured model needs beside the five coefficients of `StepTime`.

- A step that computes prompts launches its kernels one by one; a step of decoding only replays a recorded graph.
- A step of a mixture of experts reads the experts that its tokens touch: many tokens touch nearly all.

Both depend on what is in a batch, not on the context, so they are constant over a burst and sums stay exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Self

from penstock.hardware.steptime import TICKS_PER_S, BatchFeatures, StepTime


@dataclass(frozen=True, slots=True)
class ModelStepTime(StepTime):
    """Seven coefficients, in ticks.

    Args:
        prefill_step: of a step with prompts, on top.
        experts: to read all experts of all layers.
        expert_share: experts that one token passes, of all of a layer.
    """

    prefill_step: int
    experts: int
    expert_share: float

    @classmethod
    def of_seconds(cls, seconds: Sequence[float], *, expert_share: float) -> Self:
        """Round seconds (`StepCoefficients`) to ticks."""
        step, prefill_step, prefill_token, pair, sequence, context_token, experts = (
            round(value * TICKS_PER_S) for value in seconds
        )
        return cls(
            base=max(1, step),
            prefill_token=prefill_token,
            prefill_attention=pair,
            sequence=sequence,
            context_token=context_token,
            prefill_step=prefill_step,
            experts=experts,
            expert_share=expert_share,
        )

    def first_step(self, batch: BatchFeatures) -> int:
        """How long the first of the batch's steps takes."""
        ticks = StepTime.first_step(self, batch)
        if batch.prefill_tokens:
            ticks += self.prefill_step
        return ticks + self._experts(batch.prefill_tokens + batch.sequences)

    def prefill_s(self, new_tokens: int, cached_tokens: int = 0) -> float:
        """Seconds to compute `new_tokens` of a prompt after `cached_tokens`, alone and in one step."""
        more = (self.prefill_step + self._experts(new_tokens)) / TICKS_PER_S
        return StepTime.prefill_s(self, new_tokens, cached_tokens) + more

    def decode_step_s(self, sequences: int, context_tokens: int) -> float:
        """Seconds of a step that decodes one token for each of `sequences`."""
        return StepTime.decode_step_s(self, sequences, context_tokens) + self._experts(sequences) / TICKS_PER_S

    def _experts(self, tokens: int) -> int:
        """Ticks to read the experts that `tokens` tokens touch."""
        return round(self.experts * experts_read(tokens, self.expert_share)) if self.experts else 0


def experts_read(tokens: int, expert_share: float) -> float:
    """Share of a layer's experts that `tokens` tokens touch, if each passes `expert_share` of them; 0 to 1.

    Routers are uneven: a few experts are popular. With popularities drawn from a gamma distribution of shape 1/2 the
    expected share is 1 - (1 + 2 n s)^(-1/2). Equal ones would give 1 - (1 - s)^n, which has read nearly everything with
    fewer tokens than was measured.
    """
    return 1.0 - 1.0 / sqrt(1.0 + 2.0 * tokens * expert_share)
