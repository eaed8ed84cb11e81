"""Step time with steps of prompts and with experts: exact over bursts, as the plain one."""

from dataclasses import replace

import pytest

from penstock.engine.batch import Batch
from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest
from penstock.engine.timeline import Timeline
from penstock.hardware.steptime import StepTime, experts_read

DENSE = StepTime(10**9, 10**7, 10**3, 2 * 10**7, 10**4, prefill_step=5 * 10**9)
MOE = replace(DENSE, experts=10**10, expert_share=8 / 128)


def ends(*, burst: bool) -> list[int]:
    config = EngineConfig(max_num_seqs=8, max_num_batched_tokens=64, block_tokens=4, kv_blocks=60)
    timeline = Timeline(Engine(config), MOE, burst=burst)
    for number in range(20):
        at = number * 13_000_000_000
        timeline.advance(at)
        timeline.add(at, EngineRequest(number, 10 + 7 * number % 40, 5 + number))
    moments = timeline.advance(10**15)
    return [moment.at for moment in moments if moment.progress.finished]


def test_bursts_and_single_steps_end_at_the_same_tick() -> None:
    """Experts and prompts depend on the batch, which a burst repeats."""
    assert ends(burst=True) == ends(burst=False)


def test_a_step_with_prompts_costs_more() -> None:
    """By the extra of such a step, and its tokens and pairs."""
    decode, mixed = Batch(0, 0, 4, 400, 1), Batch(100, 5050, 4, 400, 1)
    assert DENSE.first_step(mixed) - DENSE.first_step(decode) == 5 * 10**9 + 100 * 10**7 + 5050 * 10**3


def test_experts_are_read_as_tokens_touch_them() -> None:
    """None for no token; one token reads its own, at most; ever more, never all."""
    assert experts_read(0, 8 / 128) == 0
    assert 0.8 * 8 / 128 < experts_read(1, 8 / 128) <= 8 / 128
    assert [experts_read(n, 8 / 128) for n in (4, 16, 64, 10_000)] == pytest.approx([0.18, 0.42, 0.67, 0.97], abs=0.01)


def test_prefill_and_decode_alone_agree_with_the_batch() -> None:
    """What a router asks is what the engine takes."""
    assert MOE.prefill_s(100) == pytest.approx(MOE.first_step(Batch(100, 5050, 0, 0, 1)) / 1e12)
    assert MOE.decode_step_s(4, 400) == pytest.approx(MOE.first_step(Batch(0, 0, 4, 400, 1)) / 1e12)
