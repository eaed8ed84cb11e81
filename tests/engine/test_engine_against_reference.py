"""The fast engine and a plain one, written from the same rules, agree step by step."""

from random import Random

import pytest
from reference_engine import ReferenceEngine
from scenario import make

from penstock.engine.batch import Progress
from penstock.engine.engine import Engine
from penstock.kvcache.pool import PagesStored
from penstock.messages.worker import Role


def flat(progress: Progress) -> list[tuple]:
    events: list[tuple] = []
    for event in progress.cache:
        if isinstance(event, PagesStored):
            parents = (event.parent, *event.hashes)
            events += [("stored", page, parent) for page, parent in zip(event.hashes, parents, strict=False)]
        else:
            events += [("removed", page) for page in event.hashes]
    return events


@pytest.mark.parametrize("batch", range(8))
def test_every_step_is_what_the_rules_say(batch: int) -> None:
    """Features, tokens, preemptions, cache events and blocks in use, in every step."""
    for seed in range(batch * 50, batch * 50 + 50):
        scenario = make(seed, page_blocks=1)
        config = scenario.config
        engine = Engine(config)
        plain = ReferenceEngine(
            seats=config.max_num_seqs,
            budget=config.max_num_batched_tokens,
            block_tokens=config.block_tokens,
            blocks=config.kv_blocks,
            role=config.role.value,
            prefill_first=config.prefill_first,
        )
        random = Random(seed)
        todo = [request for _at, request in scenario.arrivals]
        pinned: list[int] = []
        for _step in range(20_000):
            while todo and random.random() < 0.4:
                request = todo.pop(0)
                engine.add(request)
                arrives = config.role is Role.DECODE and not request.local_prefill
                plain.add(request.id, request.prompt_tokens, request.max_tokens, list(request.block_hashes), arrives)
            if random.random() < 0.02:
                target = random.choice(scenario.arrivals)[1].id
                assert engine.cancel(target) == any(
                    seq.id == target for seq in (*plain.waiting, *plain.running, *plain.pinned)
                )
                plain.cancel(target)
                pinned = [other for other in pinned if other != target]
            if pinned and random.random() < 0.5:
                target = pinned.pop(0)
                assert engine.release(target)
                plain.cancel(target)
            batch_planned = engine.plan()
            expected = plain.step()
            assert (batch_planned is None) == (expected is None), f"seed {seed}"
            if batch_planned is None or expected is None:
                if not todo and engine.drained:
                    break
                continue
            features = (
                batch_planned.prefill_tokens,
                batch_planned.prefill_pairs,
                batch_planned.sequences,
                batch_planned.context_tokens,
            )
            assert features == expected["features"], f"seed {seed}"
            progress = engine.commit(1)
            engine.check()
            pinned.extend(progress.prefilled)
            assert list(zip(progress.first_tokens, progress.cached_tokens, strict=True)) == expected["first"]
            assert list(progress.resumed) == expected["resumed"], f"seed {seed}"
            assert list(progress.finished) == expected["finished"], f"seed {seed}"
            assert list(progress.preempted) == expected["preempted"], f"seed {seed}"
            assert flat(progress) == expected["events"], f"seed {seed}"
            assert engine.kv_blocks_used == plain.used(), f"seed {seed}"
            assert (engine.running, engine.waiting) == (len(plain.running), len(plain.waiting)), f"seed {seed}"
            assert engine.cached_hashes() == set(plain.cached), f"seed {seed}"
        else:
            pytest.fail(f"seed {seed}: it did not end")
