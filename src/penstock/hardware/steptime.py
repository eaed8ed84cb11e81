"""How long one engine step takes: linear in its context, in integer ticks.

Knows no engine: it is handed the features of a batch. It decides nothing.

    step = base + prefill_step * [prompts in it] + prefill_token * T + prefill_attention * A
           + sequence * B + context_token * C + experts * read(T + B)

T: prompt tokens computed in the step; A: (query, key) pairs of those tokens; B: decoding sequences; C: their summed
context, the token being computed included. Integers make sums exact: k steps at once take to the tick what k single
steps take, so a request that arrives just at the end of a step is treated alike either way, and tests may use `==`.
Linear in C is what gives k steps their closed form; a bent curve would be one more event per bend.

- prefill_step: a step that computes prompts launches its kernels one by one; one of decoding replays a recorded graph.
- experts: a step of a mixture of experts reads the experts that its tokens touch: many tokens touch nearly all.

Both depend on what is in a batch, not on its context, so they are constant over a burst.

A tick is 1 ps: 10,000 times finer than the smallest coefficient in use (0.6 ns per attention pair), while a
year still fits 65 bits, and Python's integers do not overflow.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final, Protocol, Self

from penstock.messages.engine_spec import StepTimeSpec

TICKS_PER_S: Final = 10**12


class BatchFeatures(Protocol):
    """The work of one step, as far as time depends on it."""

    @property
    def prefill_tokens(self) -> int:
        """Prompt tokens that the step computes."""

    @property
    def prefill_pairs(self) -> int:
        """(query, key) pairs of those tokens: each attends to all before it and to itself."""

    @property
    def sequences(self) -> int:
        """Sequences that decode one token."""

    @property
    def context_tokens(self) -> int:
        """Their summed context in the first step, the token being computed included."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """The coefficients, in ticks. `expert_share`: experts that one token passes, of all of a layer."""

    base: int
    prefill_token: int
    prefill_attention: int
    sequence: int
    context_token: int
    prefill_step: int = 0
    experts: int = 0
    expert_share: float = 0.0

    def __post_init__(self) -> None:
        least = min(
            self.prefill_token,
            self.prefill_attention,
            self.sequence,
            self.context_token,
            self.prefill_step,
            self.experts,
            self.expert_share,
        )
        if self.base < 1 or least < 0:
            raise ValueError(f"a step takes time and no coefficient is negative: {self}")

    @classmethod
    def from_spec(cls, spec: StepTimeSpec) -> Self:
        """Round the spec's seconds to ticks."""
        return cls(
            base=max(1, round(spec.base_s * TICKS_PER_S)),
            prefill_token=round(spec.prefill_token_s * TICKS_PER_S),
            prefill_attention=round(spec.prefill_attention_s * TICKS_PER_S),
            sequence=round(spec.sequence_s * TICKS_PER_S),
            context_token=round(spec.context_token_s * TICKS_PER_S),
            prefill_step=round(spec.prefill_step_s * TICKS_PER_S),
            experts=round(spec.experts_s * TICKS_PER_S),
            expert_share=spec.expert_share,
        )

    def ticks(self, batch: BatchFeatures, steps: int = 1) -> int:
        """How long `steps` equal steps take, in each of which every decoding sequence grows by one token."""
        first = self.first_step(batch)
        return steps * first + self.growth(batch) * (steps * (steps - 1) // 2)

    def first_step(self, batch: BatchFeatures) -> int:
        """How long the first of the batch's steps takes."""
        ticks = self.base + self.sequence * batch.sequences + self.context_token * batch.context_tokens
        if batch.prefill_tokens:
            ticks += self.prefill_step
            ticks += self.prefill_token * batch.prefill_tokens + self.prefill_attention * batch.prefill_pairs
        if self.experts:
            ticks += self._experts(batch.prefill_tokens + batch.sequences)
        return ticks

    def growth(self, batch: BatchFeatures) -> int:
        """How much longer each further step takes than the one before it."""
        return self.context_token * batch.sequences

    def prefill_s(self, new_tokens: int, cached_tokens: int = 0) -> float:
        """Seconds to compute `new_tokens` of a prompt after `cached_tokens`, alone and in one step."""
        ticks = (
            self.base
            + self.prefill_step
            + self._experts(new_tokens)
            + self.prefill_token * new_tokens
            + self.prefill_attention * attention_pairs(new_tokens, cached_tokens)
        )
        return ticks / TICKS_PER_S

    def decode_step_s(self, sequences: int, context_tokens: int) -> float:
        """Seconds of a step that decodes one token for each of `sequences`."""
        ticks = self.base + self._experts(sequences) + self.sequence * sequences + self.context_token * context_tokens
        return ticks / TICKS_PER_S

    def _experts(self, tokens: int) -> int:
        """Ticks to read the experts that `tokens` tokens touch."""
        return round(self.experts * experts_read(tokens, self.expert_share)) if self.experts else 0


def experts_read(tokens: float, expert_share: float) -> float:
    """Share of a layer's experts that `tokens` tokens touch, if each passes `expert_share` of them; 0 to 1.

    Routers are uneven: a few experts are popular. With popularities drawn from a gamma distribution of shape 1/2 the
    expected share is 1 - (1 + 2 n s)^(-1/2). Equal ones would give 1 - (1 - s)^n, which has read nearly everything with
    fewer tokens than was measured.
    """
    return 1.0 - 1.0 / sqrt(1.0 + 2.0 * tokens * expert_share)


def attention_pairs(new_tokens: int, cached_tokens: int) -> int:
    """(query, key) pairs of `new_tokens` tokens that follow `cached_tokens`, under a causal mask."""
    return new_tokens * cached_tokens + new_tokens * (new_tokens + 1) // 2
