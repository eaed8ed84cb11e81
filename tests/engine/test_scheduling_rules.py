"""What each step computes: chunks, budget, running first, preemption order, roles. The rules are vLLM V1's."""

import pytest

from penstock.engine.batch import Batch, Progress
from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.request import Draining, EngineRequest, NeverFits
from penstock.engine.sequence import SequenceState
from penstock.errors import InputError
from penstock.kvcache.pool import PagesRemoved, PagesStored
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role


def engine(
    *,
    seats: int = 8,
    budget: int = 16,
    block: int = 4,
    blocks: int = 100,
    role: Role = Role.WORKER,
    page_blocks: int = 1,
    prefill_first: bool = False,
) -> Engine:
    return Engine(
        EngineConfig(
            max_num_seqs=seats,
            max_num_batched_tokens=budget,
            block_tokens=block,
            kv_blocks=blocks,
            role=role,
            page_blocks=page_blocks,
            prefill_first=prefill_first,
        )
    )


def step(engine: Engine, steps: int = 1) -> tuple[Batch, Progress]:
    batch = planned(engine)
    progress = engine.commit(steps)
    engine.check()
    return batch, progress


def planned(engine: Engine) -> Batch:
    batch = engine.plan()
    assert batch is not None
    return batch


def prefill_and_decode(batch: Batch) -> tuple[int, int]:
    return batch.prefill_tokens, batch.sequences


def test_a_long_prompt_is_computed_in_chunks_of_the_token_budget() -> None:
    """40 tokens at 16 a step: 16, 16, 8; the first token comes with the last chunk."""
    one = engine()
    one.add(EngineRequest(1, 40, 2))
    seen = [step(one) for _ in range(4)]
    assert [prefill_and_decode(batch) for batch, _progress in seen] == [(16, 0), (16, 0), (8, 0), (0, 1)]
    assert [progress.first_tokens for _batch, progress in seen] == [(), (), (1,), ()]
    assert seen[3][1].finished == (1,)


def test_attention_pairs_of_chunks_add_up_to_those_of_the_prompt() -> None:
    """n tokens attend to n (n + 1) / 2 pairs, however they are cut."""
    one = engine()
    one.add(EngineRequest(1, 40, 1))
    assert sum(step(one)[0].prefill_pairs for _ in range(3)) == 40 * 41 // 2


def test_running_sequences_come_before_prompts_in_the_budget() -> None:
    """Two that decode leave 14 of 16 tokens to the new prompt."""
    one = engine()
    one.add(EngineRequest(1, 4, 10))
    one.add(EngineRequest(2, 4, 10))
    step(one)
    one.add(EngineRequest(3, 30, 1))
    assert [prefill_and_decode(step(one)[0]) for _ in range(3)] == [(14, 2), (14, 2), (2, 2)]


def test_what_a_prompt_leaves_of_the_budget_goes_to_the_next() -> None:
    """First come, first served: 10 of the first, then 6 of the second."""
    one = engine()
    one.add(EngineRequest(1, 10, 5))
    one.add(EngineRequest(2, 10, 5))
    assert prefill_and_decode(step(one)[0]) == (16, 0)
    batch, progress = step(one)
    assert prefill_and_decode(batch) == (4, 1)
    assert progress.first_tokens == (2,)


def test_no_more_sequences_run_than_there_are_seats() -> None:
    """The third waits until one of two ends."""
    one = engine(seats=2)
    for number in (1, 2, 3):
        one.add(EngineRequest(number, 2, number + 1))
    step(one)
    assert (one.running, one.waiting) == (2, 1)
    assert step(one)[1].finished == (1,)
    assert step(one)[1].first_tokens == (3,)


def test_decode_context_counts_the_token_being_computed() -> None:
    """After a prompt of 5 and its first token, the next step's context is 6."""
    one = engine()
    one.add(EngineRequest(1, 5, 3))
    step(one)
    assert planned(one).context_tokens == 6
    assert one.context_tokens == 6


def test_a_batch_repeats_until_the_first_sequence_ends() -> None:
    """Outputs of 5 and 9: four more steps for the first, then four for the other."""
    one = engine()
    one.add(EngineRequest(1, 4, 5))
    one.add(EngineRequest(2, 4, 9))
    step(one)
    assert planned(one).steps == 4
    assert one.commit(4).finished == (1,)
    assert planned(one).steps == 4
    assert one.commit(4).finished == (2,)


def test_planning_again_before_the_commit_answers_the_same() -> None:
    """A driver may ask twice; blocks are not taken twice."""
    one = engine()
    one.add(EngineRequest(1, 8, 5))
    assert one.plan() is one.plan()
    assert one.kv_blocks_used == 2


def test_a_commit_beyond_the_plan_is_refused() -> None:
    """Steps that were not planned would skip an event."""
    one = engine()
    one.add(EngineRequest(1, 8, 5))
    with pytest.raises(ValueError):
        one.commit(1)
    one.plan()
    with pytest.raises(ValueError):
        one.commit(2)
    with pytest.raises(ValueError):
        one.commit(0)


def test_a_prompt_waits_until_all_of_it_fits() -> None:
    """As vLLM's scheduler_reserve_full_isl: 6 blocks are free, 8 are needed, though the first chunk would fit."""
    one = engine(blocks=10)
    one.add(EngineRequest(1, 13, 3))
    one.add(EngineRequest(2, 32, 1))
    step(one)
    assert (one.running, one.waiting, one.kv_blocks_used) == (1, 1, 4)
    step(one)
    step(one)
    assert one.running == 0
    step(one)
    assert (one.running, one.kv_blocks_used) == (1, 8)


def test_the_youngest_is_preempted_and_resumes_with_what_it_had() -> None:
    """Three sequences fill the pool; the youngest goes, keeps its output, computes all of it again, then goes on."""
    one = engine(blocks=6, budget=64)
    for number in (1, 2, 3):
        one.add(EngineRequest(number, 8, 5))
    step(one)
    batch, progress = step(one)  # each wants a third block: with 6 in all, only two can have it
    assert batch.preempted == progress.preempted == (3,)
    assert (batch.sequences, one.running, one.waiting, one.num_preemptions) == (2, 2, 1, 1)
    assert one.queued_prefill_tokens == 9  # the prompt and the token that it had
    for _ in range(3):
        batch, progress = step(one)
    assert progress.finished == (1, 2)
    batch, progress = step(one)
    assert (batch.prefill_tokens, progress.resumed, progress.first_tokens) == (9, (3,), ())
    produced = 2
    while one.running:
        step(one)
        produced += 1
    assert produced == 5


def test_a_step_that_preempts_admits_nobody() -> None:
    """Not even one that would fit in the blocks just freed."""
    one = engine(blocks=6, budget=64)
    for number in (1, 2, 3):
        one.add(EngineRequest(number, 8, 5))
    step(one)
    one.add(EngineRequest(4, 1, 1))
    batch, _progress = step(one)
    assert (batch.preempted, batch.prefill_tokens, batch.steps) == ((3,), 0, 1)


def test_a_cached_prefix_is_not_computed_again() -> None:
    """Two of three pages are found: 12 - 8 tokens are computed."""
    one = engine()
    one.add(EngineRequest(1, 8, 1, (11, 12)))
    _batch, progress = step(one)
    assert progress.cache == (PagesStored(1, 0, (11, 12), None),)
    one.add(EngineRequest(2, 12, 1, (11, 12, 13)))
    batch, progress = step(one)
    assert batch.prefill_tokens == 4
    assert progress.cached_tokens == (8,)
    assert progress.cache == (PagesStored(2, 2, (13,), 12),)
    assert (one.prefix_queries, one.prefix_hits) == (20, 8)


def test_a_prompt_cached_to_its_last_token_computes_its_last_page() -> None:
    """Something must be computed to sample from; nothing new is stored."""
    one = engine()
    for number in (1, 2):
        one.add(EngineRequest(number, 8, 1, (11, 12)))
        batch, progress = step(one)
    assert batch.prefill_tokens == 4
    assert progress.cached_tokens == (4,)
    assert progress.cache == ()


def test_equal_prompts_in_one_step_share_their_pages() -> None:
    """The second finds what the first computes in the same step."""
    one = engine(budget=64)
    one.add(EngineRequest(1, 12, 5, (11, 12, 13)))
    one.add(EngineRequest(2, 12, 5, (11, 12, 13)))
    batch, _progress = step(one)
    assert batch.prefill_tokens == 12 + 4
    assert one.kv_blocks_used == 3


def test_pages_that_decoding_fills_are_stored_when_full() -> None:
    """Prompt 6, pages of 4: the second page is full with the second output token computed."""
    one = engine()
    one.add(EngineRequest(1, 6, 8, (11, 12, 13)))
    assert step(one)[1].cache == (PagesStored(1, 0, (11,), None),)
    assert planned(one).steps == 2
    assert one.commit(2).cache == (PagesStored(1, 1, (12,), 11),)
    assert planned(one).steps == 4
    assert one.commit(4).cache == (PagesStored(1, 2, (13,), 12),)


def test_the_least_recently_used_pages_are_evicted_last_page_first() -> None:
    """A prompt of 3 pages stays cached after use, until room is needed: then its end goes first."""
    one = engine(blocks=6, budget=64)
    one.add(EngineRequest(1, 12, 1, (11, 12, 13)))
    step(one)
    assert (one.kv_blocks_used, one.cached_hashes()) == (0, {11, 12, 13})
    one.add(EngineRequest(2, 20, 1))
    assert step(one)[1].cache == (PagesRemoved((13, 12)),)
    assert one.cached_hashes() == {11}


def test_a_page_of_many_blocks_is_one_entry() -> None:
    """Pages of 3 blocks: 24 tokens are two pages of 12, and 6 blocks."""
    one = engine(page_blocks=3, budget=64)
    one.add(EngineRequest(1, 25, 2, (11, 12)))
    _batch, progress = step(one)
    assert progress.cache == (PagesStored(1, 0, (11, 12), None),)
    assert one.kv_blocks_used == 7
    one.add(EngineRequest(2, 26, 1, (11, 12)))
    assert step(one)[1].cached_tokens == (24,)


def test_a_prefill_engine_stops_after_the_first_token_and_pins_the_kv() -> None:
    """Its seat is free at once, its blocks only when they were read."""
    one = engine(role=Role.PREFILL, seats=1)
    one.add(EngineRequest(1, 8, 500))
    _batch, progress = step(one)
    assert (progress.first_tokens, progress.finished, progress.prefilled) == ((1,), (1,), (1,))
    assert (one.running, one.pinned, one.kv_blocks_used, one.drained) == (0, 1, 2, False)
    assert one.state(1) is SequenceState.PINNED
    assert one.release(1)
    assert not one.release(1)
    assert (one.pinned, one.kv_blocks_used, one.drained) == (0, 0, True)


def test_a_prefill_engine_whose_blocks_are_pinned_waits_for_a_release() -> None:
    """Nothing can run, though a request waits."""
    one = engine(role=Role.PREFILL, blocks=3)
    one.add(EngineRequest(1, 8, 1))
    step(one)
    one.add(EngineRequest(2, 8, 1))
    assert one.plan() is None
    one.release(1)
    assert step(one)[1].prefilled == (2,)


def test_a_decode_engine_computes_nothing_of_a_prompt_whose_kv_arrived() -> None:
    """It is one decode step with the prompt as its context, which samples the first token."""
    one = engine(role=Role.DECODE)
    one.add(EngineRequest(1, 30, 3, (1, 2, 3, 4, 5, 6, 7)))
    assert one.queued_prefill_tokens == 0
    batch, progress = step(one)
    assert (batch.prefill_tokens, batch.sequences, batch.context_tokens) == (0, 1, 30)
    assert progress.first_tokens == (1,)
    assert progress.cache == (PagesStored(1, 0, (1, 2, 3, 4, 5, 6, 7), None),)
    assert step(one)[0].context_tokens == 31
    assert step(one)[1].finished == (1,)


def test_a_decode_engine_can_do_without_the_prefill_engine() -> None:
    """With `local_prefill` it computes the prompt, as an ordinary worker does."""
    one = engine(role=Role.DECODE)
    one.add(EngineRequest(1, 30, 2, local_prefill=True))
    assert [prefill_and_decode(step(one)[0]) for _ in range(3)] == [(16, 0), (14, 0), (0, 1)]


def test_a_preempted_decode_request_computes_its_prompt_itself() -> None:
    """Its KV arrives only once."""
    one = engine(role=Role.DECODE, blocks=6, budget=64)
    for number in (1, 2, 3):
        one.add(EngineRequest(number, 8, 5))
    step(one)
    assert step(one)[1].preempted == (3,)
    while one.running == 2:
        step(one)
    batch, progress = step(one)
    assert (batch.prefill_tokens, progress.resumed) == (9, (3,))


@pytest.mark.parametrize("steps_before", [0, 1, 2, 4])
def test_a_cancelled_request_leaves_nothing_behind(steps_before: int) -> None:
    """Waiting, partly computed, or decoding."""
    one = engine()
    one.add(EngineRequest(1, 40, 9))
    for _ in range(steps_before):
        step(one)
    assert one.cancel(1)
    assert not one.cancel(1)
    one.check()
    assert (one.running, one.waiting, one.kv_blocks_used, one.queued_prefill_tokens) == (0, 0, 0, 0)
    assert one.plan() is None


def test_a_request_cancelled_in_its_step_leaves_with_the_step_unreported() -> None:
    """The step that runs computes it still; nobody hears of it."""
    one = engine()
    one.add(EngineRequest(1, 8, 1))
    one.add(EngineRequest(2, 8, 1))
    batch = one.plan()
    assert batch is not None
    one.cancel(1)
    progress = one.commit(1)
    assert batch.prefill_tokens == 16
    assert (progress.first_tokens, progress.finished) == ((2,), (2,))
    one.check()
    assert one.drained


def test_producing_names_who_samples_a_token_in_the_planned_step() -> None:
    """Those that decode, then prompts that end in this step; not those that are only partly computed."""
    one = engine()
    one.add(EngineRequest(7, 4, 9))
    step(one)
    one.add(EngineRequest(8, 4, 9))
    one.add(EngineRequest(9, 40, 9))
    one.plan()
    assert one.producing() == [7, 8]


def test_a_draining_engine_finishes_what_it_has_and_takes_nothing_new() -> None:
    """`drained` says when it may go."""
    one = engine()
    one.add(EngineRequest(1, 4, 2))
    one.drain()
    with pytest.raises(Draining):
        one.add(EngineRequest(2, 4, 2))
    step(one)
    assert not one.drained
    step(one)
    assert one.drained


def test_a_request_that_could_never_run_is_refused_with_its_figures() -> None:
    """4 blocks of 4 tokens hold 16: 10 + 7 tokens fit, as the last one is never computed; one more does not."""
    one = engine(blocks=4)
    one.add(EngineRequest(1, 10, 7))
    with pytest.raises(NeverFits, match="request 2: 10 prompt and 8 output tokens take 5 KV blocks of 4 tokens"):
        one.add(EngineRequest(2, 10, 8))
    while one.running or one.waiting:
        step(one)
    assert one.drained


def test_an_id_in_use_is_refused() -> None:
    """Two requests of one name could not be told apart."""
    one = engine()
    one.add(EngineRequest(1, 4, 2))
    with pytest.raises(ValueError):
        one.add(EngineRequest(1, 4, 2))


@pytest.mark.parametrize(("prompt", "output"), [(0, 1), (1, 0), (-1, 5)])
def test_an_empty_request_is_refused(prompt: int, output: int) -> None:
    """There is nothing to compute, or nothing to produce."""
    with pytest.raises(ValueError):
        EngineRequest(1, prompt, output)


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"max_num_seqs": 17}, "max_num_batched_tokens"),
        ({"max_num_seqs": 0}, "max_num_seqs"),
        ({"kv_blocks": 0}, "kv_blocks"),
        ({"role": Role.FRONTEND}, "role"),
    ],
)
def test_limits_with_which_no_engine_could_run_are_refused(limits: dict, field: str) -> None:
    """The message names the field."""
    good = {"max_num_seqs": 8, "max_num_batched_tokens": 16, "block_tokens": 4, "kv_blocks": 10}
    with pytest.raises(InputError, match=f"engine.{field}: "):
        EngineConfig(**{**good, **limits})


def test_a_config_comes_from_the_deployment_spec() -> None:
    """Field by field."""
    config = EngineConfig.from_spec(EngineSpec(max_num_seqs=3, kv_blocks=7, block_tokens=32), Role.DECODE)
    assert (config.max_num_seqs, config.kv_blocks, config.block_tokens, config.role) == (3, 7, 32, Role.DECODE)
    assert config.max_num_batched_tokens == EngineSpec().max_num_batched_tokens


def test_prefill_first_computes_prompts_alone_and_lets_decoding_wait() -> None:
    """SGLang's policy: the long prompt's two chunks go before the other's second token."""
    one = engine(prefill_first=True)
    one.add(EngineRequest(1, 4, 3))
    step(one)
    one.add(EngineRequest(2, 20, 1))
    seen = [step(one) for _ in range(4)]
    assert [prefill_and_decode(batch) for batch, _progress in seen] == [(16, 0), (4, 0), (0, 1), (0, 1)]
    assert [progress.finished for _batch, progress in seen] == [(), (2,), (), (1,)]


def test_prefill_first_decodes_while_the_queue_lacks_blocks() -> None:
    """A prompt that cannot be admitted holds nobody up."""
    one = engine(prefill_first=True, blocks=4)
    one.add(EngineRequest(1, 8, 6))
    step(one)
    one.add(EngineRequest(2, 12, 1))
    assert prefill_and_decode(step(one)[0]) == (0, 1)


def test_an_engine_of_one_phase_has_no_prefill_first() -> None:
    """There is nothing to put first."""
    with pytest.raises(InputError, match="prefill_first"):
        engine(role=Role.DECODE, prefill_first=True)


def test_sglang_in_the_spec_means_prefill_first() -> None:
    """As that engine does by default."""
    assert EngineConfig.from_spec(EngineSpec(type="sglang"), Role.WORKER).prefill_first
    assert not EngineConfig.from_spec(EngineSpec(type="sglang"), Role.DECODE).prefill_first
    assert not EngineConfig.from_spec(EngineSpec(type="vllm"), Role.WORKER).prefill_first
