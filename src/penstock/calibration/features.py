"""What steps consist of, summed: seven numbers, in the order of `StepCoefficients`; times them it is seconds.

This is the key to a fast fit. In a closed loop a request is sent when another ends, which is at the end of a step, so
which steps there are, and what is in them, does not depend on how long they take. One run of the engine core gives a
point's features once and for all; a prediction under any coefficients is seven multiplications, and exact.
"""

from collections.abc import Sequence

from penstock.engine.batch import Batch
from penstock.hardware.steptime import experts_read

Features = tuple[float, float, float, float, float, float, float]
NONE: Features = (0.0,) * 7


def seconds(features: Features, coefficients: Sequence[float]) -> float:
    """How long steps of these features take."""
    return sum(amount * each for amount, each in zip(features, coefficients, strict=True))


class StepSums:
    """Features of all steps done so far. `expert_share`: as in `experts_read`."""

    __slots__ = ("_expert_share", "_read", "sums")

    def __init__(self, expert_share: float) -> None:
        self.sums: Features = NONE
        self._expert_share = expert_share
        self._read: dict[int, float] = {}

    def add(self, batch: Batch, steps: int) -> None:
        """Add a batch that is done `steps` times; its context grows by a token for each sequence and step."""
        count, prompts, tokens, pairs, sequences, context, experts = self.sums
        self.sums = (
            count + steps,
            prompts + (steps if batch.prefill_tokens else 0),
            tokens + steps * batch.prefill_tokens,
            pairs + steps * batch.prefill_pairs,
            sequences + steps * batch.sequences,
            context + steps * batch.context_tokens + batch.sequences * (steps * (steps - 1) // 2),
            experts + steps * self._experts(batch.prefill_tokens + batch.sequences),
        )

    def _experts(self, tokens: int) -> float:
        if not self._expert_share:
            return 0.0
        read = self._read.get(tokens)
        if read is None:
            read = self._read[tokens] = experts_read(tokens, self._expert_share)
        return read


class MeanFeatures:
    """The mean of features between two instants of a run, over requests."""

    __slots__ = ("_count", "_sums")

    def __init__(self) -> None:
        self._sums = [0.0] * 7
        self._count = 0

    def add(self, since: Features, until: Features, *, parts: int = 1) -> None:
        """A request's steps from `since` to `until`, spread over `parts` tokens."""
        sums = self._sums
        for index in range(7):
            sums[index] += (until[index] - since[index]) / parts
        self._count += 1

    def mean(self) -> Features | None:
        """None, if there was no request."""
        if not self._count:
            return None
        first, second, third, fourth, fifth, sixth, seventh = (value / self._count for value in self._sums)
        return first, second, third, fourth, fifth, sixth, seventh
