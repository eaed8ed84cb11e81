"""Any order of calls that a driver may make leaves an engine whole: no block lost, no counter off, all ended."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest, NeverFits
from penstock.messages.worker import Role


class EngineMachine(RuleBasedStateMachine):
    """Adds, plans, commits, cancels and releases as hypothesis likes."""

    @initialize(
        role=st.sampled_from([Role.WORKER, Role.PREFILL, Role.DECODE]),
        blocks=st.integers(2, 12),
        page_blocks=st.integers(1, 2),
        seats=st.integers(1, 4),
        prefill_first=st.booleans(),
    )
    def begin(self, role: Role, blocks: int, page_blocks: int, seats: int, prefill_first: bool) -> None:
        self.engine = Engine(
            EngineConfig(
                max_num_seqs=seats,
                max_num_batched_tokens=seats + 6,
                block_tokens=2,
                kv_blocks=blocks,
                role=role,
                page_blocks=page_blocks,
                prefill_first=prefill_first and role is Role.WORKER,
            )
        )
        self.steps = 0  # that the planned batch allows
        self.next_id = 0
        self.alive: dict[int, int] = {}  # by request: tokens it has still to produce, as reported
        self.pinned: list[int] = []

    @rule(prompt=st.integers(1, 12), output=st.integers(1, 8), family=st.integers(1, 3), pages=st.integers(0, 5))
    def add(self, prompt: int, output: int, family: int, pages: int) -> None:
        hashes = tuple(family * 100 + page for page in range(pages))
        self.next_id += 1
        try:
            self.engine.add(EngineRequest(self.next_id, prompt, output, hashes, local_prefill=bool(family % 2)))
        except NeverFits:
            return
        self.alive[self.next_id] = 1

    @rule()
    def plan(self) -> None:
        batch = self.engine.plan()
        self.steps = batch.steps if batch else 0
        if batch is None:
            assert not self.engine.running
            assert not self.engine.waiting or self.pinned

    @precondition(lambda self: self.steps)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        progress = self.engine.commit(data.draw(st.integers(1, self.steps)))
        self.steps = 0
        for number in progress.finished:
            del self.alive[number]
        self.pinned.extend(progress.prefilled)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.alive)))
        assert self.engine.cancel(number)
        del self.alive[number]

    @precondition(lambda self: self.pinned)
    @rule()
    def release(self) -> None:
        assert self.engine.release(self.pinned.pop())

    @invariant()
    def blocks_are_conserved(self) -> None:
        if hasattr(self, "engine"):
            assert 0 <= self.engine.kv_blocks_used <= self.engine.config.kv_blocks
            if not self.steps:
                self.engine.check()

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        for _ in range(10_000):
            for number in self.pinned:
                self.engine.release(number)
            self.pinned.clear()
            batch = self.engine.plan()
            if batch is None:
                break
            progress = self.engine.commit(batch.steps)
            for number in progress.finished:
                del self.alive[number]
            self.pinned.extend(progress.prefilled)
        assert not self.alive, "requests that never end"
        assert self.engine.drained
        assert self.engine.kv_blocks_used == 0
        self.engine.check()


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
