"""Step time is linear in the work of a batch, and exact: integer ticks."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.hardware.steptime import TICKS_PER_S, StepTime, attention_pairs
from penstock.messages.engine_spec import StepTimeSpec


@dataclass
class Work:
    prefill_tokens: int = 0
    prefill_pairs: int = 0
    sequences: int = 0
    context_tokens: int = 0


ODD = StepTime(base=1_000_003, prefill_token=10_007, prefill_attention=601, sequence=20_011, context_token=25_013)


def test_each_kind_of_work_has_its_coefficient() -> None:
    """base + T * prefill_token + A * prefill_attention + B * sequence + C * context_token."""
    step = StepTime(base=100_000, prefill_token=10_000, prefill_attention=1_000, sequence=100, context_token=1)
    assert step.ticks(Work(2, 3, 4, 5)) == 100_000 + 20_000 + 3_000 + 400 + 5


@given(steps=st.integers(1, 60), sequences=st.integers(0, 300), context=st.integers(0, 10**6))
def test_steps_at_once_take_exactly_what_they_take_one_by_one(steps: int, sequences: int, context: int) -> None:
    """To the tick; every sequence grows by one token a step."""
    alone = sum(
        ODD.ticks(Work(sequences=sequences, context_tokens=context + step * sequences)) for step in range(steps)
    )
    assert ODD.ticks(Work(sequences=sequences, context_tokens=context), steps) == alone


def test_the_spec_is_rounded_to_ticks() -> None:
    """A tick is a picosecond."""
    step = StepTime.from_spec(StepTimeSpec(base_s=2e-3, prefill_token_s=1.2e-5, prefill_attention_s=6e-10))
    assert (step.base, step.prefill_token, step.prefill_attention) == (2 * 10**9, 12 * 10**6, 600)
    assert TICKS_PER_S == 10**12


def test_a_prompt_alone_is_priced_in_seconds() -> None:
    """1000 new tokens after 500 cached ones."""
    spec = StepTimeSpec()
    pairs = 1000 * 500 + 1000 * 1001 / 2
    expected = spec.base_s + 1000 * spec.prefill_token_s + pairs * spec.prefill_attention_s
    assert StepTime.from_spec(spec).prefill_s(1000, 500) == pytest.approx(expected)


def test_a_decode_step_is_priced_in_seconds() -> None:
    """10 sequences with 8000 tokens of context."""
    spec = StepTimeSpec()
    expected = spec.base_s + 10 * spec.sequence_s + 8000 * spec.context_token_s
    assert StepTime.from_spec(spec).decode_step_s(10, 8000) == pytest.approx(expected)


@given(new=st.integers(0, 200), cached=st.integers(0, 200))
def test_attention_pairs_count_each_token_with_all_before_it(new: int, cached: int) -> None:
    """And with itself."""
    assert attention_pairs(new, cached) == sum(cached + token + 1 for token in range(new))


@pytest.mark.parametrize("changed", [{"base": 0}, {"sequence": -1}, {"context_token": -5}])
def test_time_that_stands_still_or_runs_back_is_refused(changed: dict) -> None:
    """A step of no time would loop for ever."""
    good = {"base": 1, "prefill_token": 0, "prefill_attention": 0, "sequence": 0, "context_token": 0}
    with pytest.raises(ValueError):
        StepTime(**{**good, **changed})
