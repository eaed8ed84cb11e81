"""Continuous batching as vLLM V1 does it, as a state machine that knows no time.

Decides what each step computes: who runs, who waits, who is preempted, which blocks are taken and given back. Does not
know how long a step takes, which tokens come out, or that other engines exist.

`plan()` fixes the next batch and how many steps it can repeat unchanged; `commit(k)` advances by any 1 <= k <= steps.
**Committing k steps at once equals k times planning and committing one**, to the last counter and event: a simulator
takes long strides, a real-time worker one step at a time, and both run this object.

The rules of a step:

1. Running before waiting. Every decoding sequence computes one token; each may need a block. If the pool cannot give
   them even by eviction, the youngest running sequence is preempted: it loses its blocks, goes to the head of the queue
   and computes prompt and output anew when it is admitted again. A step that preempts admits nobody.
2. The one prompt that is partly computed (always the youngest running) gets what is left of the token budget.
3. Then the queue, first come first served, while there are budget, seats and blocks. A prompt must fit as a whole, as
   vLLM demands by default; here its blocks are then reserved at once, so that a chunk never lacks them. Its cached
   prefix is not computed again, but at least one token is: a prompt that is cached to its last block computes that.

Pages that a chunk computes count as cached as soon as it is planned, so that equal prompts in one step share them;
pages that decoding fills, when their step is done.

With `prefill_first` (SGLang's default policy) rules 2 and 3 come first, in steps of their own: while they find a prompt
to compute, nothing decodes.

A decode engine is handed the prompt's KV. As vLLM does, it computes the prompt's last token itself, as one decode
step, and so samples the first token again. Sources: vLLM's V1 scheduler; `scheduler_reserve_full_isl` in
https://github.com/vllm-project/vllm/pull/37307.
"""

from collections import deque

from penstock.engine.batch import Batch, Progress
from penstock.engine.config import EngineConfig
from penstock.engine.decoding import Decoding
from penstock.engine.holdings import Holdings
from penstock.engine.integrity import check_engine
from penstock.engine.request import Draining, EngineRequest, NeverFits
from penstock.engine.sequence import Sequence, SequenceState
from penstock.hardware.steptime import attention_pairs
from penstock.messages.worker import Role


class Engine:
    """One engine. All counters are O(1).

    running, waiting: requests that have a seat, and that wait for one.
    queued_prefill_tokens: prompt tokens that are still to be computed, as far as known: a waiting request's cached
        prefix is found when it is admitted.
    pinned: prefilled requests whose KV has not been released.
    prefix_queries, prefix_hits: prompt tokens looked up in the cache at first admission, and found there.
    tells_late: may be set: steps that only grow and evict may repeat, though what each evicts is told after the last.
        A full pool evicts at every other step, so bursts would be short; who needs to know earlier splits them.
    """

    __slots__ = (
        "_admissions",
        "_batch",
        "_budget",
        "_cancelled",
        "_decoding",
        "_holdings",
        "_max_num_seqs",
        "_partial",
        "_pool",
        "_prefill_first",
        "_prompts_only",
        "_scheduled",
        "_sequences",
        "_waiting",
        "config",
        "draining",
        "num_preemptions",
        "pinned",
        "prefix_hits",
        "prefix_queries",
        "queued_prefill_tokens",
        "running",
        "tells_late",
        "waiting",
    )

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._budget = config.max_num_batched_tokens
        self._max_num_seqs = config.max_num_seqs
        self._prefill_first = config.prefill_first
        self._holdings = Holdings(config)
        self._pool = self._holdings.pool
        self._decoding = Decoding(config.block_tokens, config.page_tokens)
        self._sequences: dict[int, Sequence] = {}
        self._waiting: deque[Sequence] = deque()  # its head is never a cancelled one
        self._partial: Sequence | None = None  # its prompt is partly computed; always the youngest running
        self._scheduled: list[Sequence] = []  # those of the planned batch that do not decode yet
        self._cancelled: list[Sequence] = []  # in the planned batch; they leave when it is done
        self._batch: Batch | None = None
        self._prompts_only = False  # the planned batch leaves the decoding sequences where they are
        self._admissions = 0
        self.draining = False
        self.tells_late = False
        self.running = 0
        self.waiting = 0
        self.pinned = 0
        self.queued_prefill_tokens = 0
        self.num_preemptions = 0
        self.prefix_queries = 0
        self.prefix_hits = 0

    @property
    def decoding(self) -> int:
        """Running sequences that decode."""
        return self._decoding.count

    @property
    def context_tokens(self) -> int:
        """Summed context of the decoding sequences in the next step."""
        return self._decoding.context_tokens

    @property
    def kv_blocks_used(self) -> int:
        """KV blocks that requests hold; cached ones that nobody holds are free."""
        return self._pool.used

    @property
    def kv_usage(self) -> float:
        """Share of the KV blocks that requests hold, 0 to 1."""
        return self._pool.used / self.config.kv_blocks

    @property
    def idle(self) -> bool:
        """Whether no request runs or waits."""
        return not self.running and not self.waiting

    @property
    def drained(self) -> bool:
        """Whether no request is left, pinned ones included."""
        return not self._sequences

    @property
    def takes_arrivals(self) -> bool:
        """Whether a new request might join the next batch; if not, it cannot change when that ends."""
        return not self.waiting and self.running < self._max_num_seqs

    def add(self, request: EngineRequest) -> None:
        """Queue a request. Raises: NeverFits; Draining; ValueError, if the id is in use."""
        if self.draining:
            raise Draining(f"request {request.id}: the engine is draining")
        if request.id in self._sequences:
            raise ValueError(f"request {request.id} is known already")
        config = self.config
        role = config.role
        max_tokens = 1 if role is Role.PREFILL else request.max_tokens
        # The last token is sampled, never computed, so it needs no room.
        blocks = -(-(request.prompt_tokens + max_tokens - 1) // config.block_tokens)
        if blocks > config.kv_blocks:
            raise NeverFits(
                f"request {request.id}: {request.prompt_tokens} prompt and {max_tokens} output tokens take {blocks} KV "
                f"blocks of {self.config.block_tokens} tokens, and the engine has {self.config.kv_blocks}"
            )
        kv_arrives = role is Role.DECODE and not request.local_prefill
        sequence = Sequence(request, max_tokens, kv_arrives)
        self._sequences[request.id] = sequence
        self._waiting.append(sequence)
        self.waiting += 1
        if not kv_arrives:
            self.queued_prefill_tokens += request.prompt_tokens

    def cancel(self, request_id: int) -> bool:
        """Give a request up, wherever it is; it is never reported again. False, if it is not known.

        One that is in the planned batch leaves when the batch is committed: the step that runs computes it still.
        """
        sequence = self._sequences.get(request_id)
        if sequence is None or sequence.cancelled:
            return False
        sequence.cancelled = True
        if sequence.state is SequenceState.WAITING:
            del self._sequences[request_id]
            self.waiting -= 1
            if not sequence.kv_arrives:
                self.queued_prefill_tokens -= sequence.target
            self._skip_cancelled()
        elif self._batch is not None and sequence.state is not SequenceState.PINNED:
            self._cancelled.append(sequence)
        else:
            self._drop(sequence)
        return True

    def release(self, request_id: int) -> bool:
        """Let go of a prefilled request's KV: it was read, or never will be. False, if it is not pinned."""
        sequence = self._sequences.get(request_id)
        if sequence is None or sequence.state is not SequenceState.PINNED:
            return False
        self._drop(sequence)
        return True

    def drain(self) -> None:
        """Take nothing new; go on with what is here until `drained`."""
        self.draining = True

    def state(self, request_id: int) -> SequenceState | None:
        """Where a request is; None if it is not known, or finished."""
        sequence = self._sequences.get(request_id)
        return None if sequence is None else sequence.state

    def producing(self) -> list[int]:
        """Requests that sample a token in each step of the planned batch, oldest first. Call it before `commit`."""
        ids = [] if self._prompts_only else [sequence.id for sequence in self._decoding.members.values()]
        ids.extend(sequence.id for sequence in self._scheduled if sequence.computed == sequence.target)
        return ids

    def cached_hashes(self) -> frozenset[int]:
        """Names of all cached pages. O(pages)."""
        return self._pool.cached_hashes()

    def plan(self, *, admit: bool = True) -> Batch | None:
        """Fix the next batch. None: nothing can run. Asked again before `commit`, it answers the same.

        Args:
            admit: False leaves the queue alone, to go on with a batch that was committed in part.
        """
        if self._batch is not None:
            return self._batch
        if not self.running and not self.waiting:
            return None
        if self._prefill_first:
            prompts = self._plan_prompts(admit=admit)
            if prompts is not None:
                return prompts
        decoding = self._decoding
        pool = self._pool
        preempted: tuple[int, ...] = ()
        if decoding.count:
            demand = decoding.demand()
            if demand <= pool.blank:
                pool.blank -= demand
            else:
                if demand > pool.available:
                    preempted = self._preempt()
                    demand = decoding.demand()
                pool.take(demand)
            batch = Batch(0, 0, decoding.count, decoding.context_tokens, 1, preempted)
        else:
            batch = Batch(0, 0, 0, 0, 1)
        if self._partial is not None or self._waiting:
            budget = self._budget - decoding.count
            if self._partial is not None:
                budget -= self._compute(self._partial, budget, batch)
            if admit and self._waiting and not preempted:
                self._admit(budget, batch)
        if not self._scheduled:
            if not decoding.count:
                return None
            if not preempted:
                # Until something other than growth happens: an end, a page filled, or a pool without blank blocks.
                # What is evicted is told when the step is done, not when a burst is, unless that will do.
                if self.tells_late:
                    batch.steps = steps = decoding.repeatable(pool.available)
                    batch.evicts = bool(pool.events) or (steps > 1 and decoding.later_demand(steps) > pool.blank)
                elif not pool.events:
                    batch.steps = decoding.repeatable(pool.blank)
        self._batch = batch
        return batch

    def commit(self, steps: int) -> Progress:
        """Do the planned step `steps` times. Raises: ValueError, if the plan does not reach that far."""
        batch = self._batch
        if batch is None or not 1 <= steps <= batch.steps:
            raise ValueError(f"{steps} steps committed, {batch.steps if batch else 0} planned")
        self._batch = None
        decoding = self._decoding
        pool = self._pool
        if steps > 1:  # the first one's blocks were taken when it was planned
            demand = decoding.later_demand(steps)
            if demand <= pool.blank:
                pool.blank -= demand
            else:
                pool.take(demand)
        progress = Progress(steps)
        if batch.preempted:
            progress.preempted = batch.preempted
        if self._prompts_only:
            self._prompts_only = False
        else:
            due = decoding.advance(steps)
            if due:
                self._finish(due, progress)
        if self._scheduled:
            self._start_sampling(progress)
        if self._cancelled:
            for sequence in self._cancelled:
                if sequence.id in self._sequences:
                    self._drop(sequence)
            self._cancelled.clear()
        if pool.events:
            progress.cache = pool.drain_events()
        return progress

    def check(self) -> None:
        """Raise ValueError, if counters and sequences contradict each other. O(everything); between batches only."""
        check_engine(self)

    def _plan_prompts(self, *, admit: bool) -> Batch | None:
        """Plan a step of prompts only; None, if none can be computed."""
        batch = Batch(0, 0, 0, 0, 1)
        budget = self._budget
        if self._partial is not None:
            budget -= self._compute(self._partial, budget, batch)
        if admit and self._waiting:
            self._admit(budget, batch)
        if not self._scheduled:
            return None
        batch.decoding = self._decoding.count
        self._batch = batch
        self._prompts_only = True
        return batch

    def _preempt(self) -> tuple[int, ...]:
        """Preempt the youngest until the others' blocks for the next step are available."""
        decoding = self._decoding
        pool = self._pool
        preempted: list[int] = []
        while decoding.demand() > pool.available:
            sequence = self._partial or decoding.youngest()
            self._give_back(sequence)
            if sequence is self._partial:
                self._partial = None
                self.queued_prefill_tokens += sequence.computed
            else:
                decoding.remove(sequence)
                generated = sequence.max_tokens - (sequence.finish_step - decoding.step)
                sequence.target = sequence.prompt_tokens + generated
                sequence.kv_arrives = False
                self.queued_prefill_tokens += sequence.target
            sequence.computed = 0
            sequence.state = SequenceState.WAITING
            self._waiting.appendleft(sequence)
            self.running -= 1
            self.waiting += 1
            self.num_preemptions += 1
            preempted.append(sequence.id)
        return tuple(preempted)

    def _admit(self, budget: int, batch: Batch) -> None:
        """Let the queue in, in order, while there are budget, seats and blocks."""
        waiting = self._waiting
        while waiting and budget > 0 and self.running < self._max_num_seqs:
            sequence = waiting[0]
            cached = self._holdings.take(sequence)
            if cached is None:
                return
            waiting.popleft()
            if waiting and waiting[0].cancelled:
                self._skip_cancelled()
            self.waiting -= 1
            self.running += 1
            sequence.admission = self._admissions
            self._admissions += 1
            sequence.state = SequenceState.PREFILL
            if sequence.cached_tokens < 0:
                sequence.cached_tokens = cached
                self.prefix_queries += sequence.target
                self.prefix_hits += cached
            if sequence.kv_arrives:
                sequence.computed = sequence.target
                self._holdings.name_filled(sequence, sequence.target)
                self._scheduled.append(sequence)
                batch.sequences += 1
                batch.context_tokens += sequence.target
                budget -= 1
            else:
                sequence.computed = cached
                self.queued_prefill_tokens -= cached
                budget -= self._compute(sequence, budget, batch)

    def _compute(self, sequence: Sequence, budget: int, batch: Batch) -> int:
        """Put the next chunk of a prompt into the batch. Returns its tokens."""
        computed = sequence.computed
        tokens = sequence.target - computed
        if tokens > budget:
            tokens = budget
            self._partial = sequence
        else:
            self._partial = None
        batch.prefill_tokens += tokens
        batch.prefill_pairs += attention_pairs(tokens, computed)
        self.queued_prefill_tokens -= tokens
        sequence.computed = computed = computed + tokens
        if sequence.block_hashes:
            self._holdings.name_filled(sequence, computed)
        self._scheduled.append(sequence)
        return tokens

    def _finish(self, due: list[Sequence], progress: Progress) -> None:
        """Handle the decoding sequences that ended or filled a page in the step just done."""
        decoding, holdings = self._decoding, self._holdings
        step = decoding.step
        finished: list[int] = []
        for sequence in due:
            if sequence.block_hashes:
                holdings.name_filled(sequence, sequence.offset + step)
            if sequence.finish_step > step:
                decoding.schedule(sequence)
                continue
            holdings.give_back(sequence, sequence.offset + step)
            decoding.remove(sequence)
            del self._sequences[sequence.id]
            self.running -= 1
            if not sequence.cancelled:
                finished.append(sequence.id)
        progress.finished = tuple(finished)

    def _start_sampling(self, progress: Progress) -> None:
        """Let the scheduled sequences whose prompt is done sample a token, and decode on."""
        first: list[int] = []
        cached: list[int] = []
        resumed: list[int] = []
        finished: list[int] = []
        prefilled: list[int] = []
        for sequence in self._scheduled:
            if sequence.computed < sequence.target:
                continue
            reported = not sequence.cancelled
            if sequence.started:
                if reported:
                    resumed.append(sequence.id)
            else:
                sequence.started = True
                if reported:
                    first.append(sequence.id)
                    cached.append(sequence.cached_tokens)
            remaining = sequence.max_tokens - (sequence.target - sequence.prompt_tokens) - 1
            if remaining:
                sequence.state = SequenceState.DECODE
                self._decoding.add(sequence, remaining)
                continue
            if reported:
                finished.append(sequence.id)
            if self.config.role is Role.PREFILL:
                sequence.state = SequenceState.PINNED
                self.running -= 1
                self.pinned += 1
                if reported:
                    prefilled.append(sequence.id)
            else:
                self._drop(sequence)
        self._scheduled.clear()
        if first:
            progress.first_tokens = tuple(first)
            progress.cached_tokens = tuple(cached)
        if resumed:
            progress.resumed = tuple(resumed)
        if prefilled:
            progress.prefilled = tuple(prefilled)
        if finished:
            progress.finished += tuple(finished)

    def _drop(self, sequence: Sequence) -> None:
        """Forget a sequence that runs or is pinned, and give back what it holds."""
        self._give_back(sequence)
        del self._sequences[sequence.id]
        if sequence.state is SequenceState.PINNED:
            self.pinned -= 1
            return
        self.running -= 1
        if sequence.state is SequenceState.DECODE:
            self._decoding.remove(sequence)
        elif sequence is self._partial:
            self._partial = None
            self.queued_prefill_tokens -= sequence.target - sequence.computed

    def _give_back(self, sequence: Sequence) -> None:
        tokens = sequence.target
        if sequence.state is SequenceState.DECODE:
            tokens = sequence.offset + self._decoding.step
        self._holdings.give_back(sequence, tokens)

    def _skip_cancelled(self) -> None:
        waiting = self._waiting
        while waiting and waiting[0].cancelled:
            waiting.popleft()
