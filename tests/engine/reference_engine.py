"""The rules of the engine, written the slow and plain way: every step, every sequence, every block an object.

Shares no code with `penstock.engine`. What it says is what the fast engine must say, step by step.
"""

from dataclasses import dataclass, field


@dataclass(eq=False)
class Block:
    page: int | None = None
    holders: int = 1


@dataclass(eq=False)
class Seq:
    id: int
    prompt: int
    max_tokens: int
    hashes: list[int]
    kv_arrives: bool
    produced: int = 0
    computed: int = 0
    prefilling: bool = True  # until it samples a token; again after a preemption
    table: list[Block] = field(default_factory=list)
    cached_tokens: int | None = None

    @property
    def tokens(self) -> int:
        return self.prompt + self.produced


class ReferenceEngine:
    """One block per page only (page_blocks = 1)."""

    def __init__(
        self, *, seats: int, budget: int, block_tokens: int, blocks: int, role: str, prefill_first: bool = False
    ) -> None:
        self.prefill_first = prefill_first
        self.seats, self.budget, self.block_tokens, self.blocks, self.role = seats, budget, block_tokens, blocks, role
        self.running: list[Seq] = []
        self.waiting: list[Seq] = []
        self.pinned: list[Seq] = []
        self.blank = blocks
        self.cached: dict[int, Block] = {}
        self.idle: list[Block] = []
        self.preemptions = 0
        self.events: list[tuple] = []

    def add(self, number: int, prompt: int, max_tokens: int, hashes: list[int], kv_arrives: bool) -> None:
        self.waiting.append(Seq(number, prompt, 1 if self.role == "prefill" else max_tokens, hashes, kv_arrives))

    def cancel(self, number: int) -> None:
        for group in (self.waiting, self.running, self.pinned):
            for seq in list(group):
                if seq.id == number:
                    group.remove(seq)
                    self.free(seq)

    def used(self) -> int:
        return self.blocks - self.blank - len(self.idle)

    def free(self, seq: Seq) -> None:
        for block in reversed(seq.table):
            block.holders -= 1
            if block.holders == 0:
                if block.page is None:
                    self.blank += 1
                else:
                    self.idle.append(block)
        seq.table = []
        seq.computed = 0

    def new_block(self) -> Block:
        if self.blank == 0:
            victim = self.idle.pop(0)
            del self.cached[victim.page]
            self.events.append(("removed", victim.page))
            self.blank += 1
        self.blank -= 1
        return Block()

    def name_full(self, seq: Seq, computed: int) -> None:
        for index in range(min(computed // self.block_tokens, len(seq.hashes))):
            block, page = seq.table[index], seq.hashes[index]
            if block.page is not None:
                continue
            twin = self.cached.get(page)
            if twin is not None:
                self.blank += 1
                if twin in self.idle:
                    self.idle.remove(twin)
                twin.holders += 1
                seq.table[index] = twin
            else:
                block.page = page
                self.cached[page] = block
                self.events.append(("stored", page, seq.hashes[index - 1] if index else None))

    def hits_if_it_fits(self, seq: Seq) -> list[Block] | None:
        """Cached blocks of a waiting sequence; None, if the blocks that it lacks cannot be had."""
        most = (seq.tokens if seq.kv_arrives else seq.tokens - 1) // self.block_tokens
        hits: list[Block] = []
        for page in seq.hashes[:most]:
            if page not in self.cached:
                break
            hits.append(self.cached[page])
        need = -(-seq.tokens // self.block_tokens) - len(hits)
        return hits if need <= self.blank + sum(block not in hits for block in self.idle) else None

    def only_prompts(self) -> bool:
        """Whether decoding waits for a prompt that can be computed."""
        if not self.prefill_first:
            return False
        if any(seq.prefilling for seq in self.running):
            return True
        room = len(self.running) < self.seats and bool(self.waiting)
        return room and self.hits_if_it_fits(self.waiting[0]) is not None

    def step(self) -> dict | None:
        """One step; None if nothing can run."""
        self.events = []
        alone = self.only_prompts()
        preempted: list[Seq] = []

        def wants(seq: Seq) -> int:
            return int(seq.computed >= len(seq.table) * self.block_tokens)

        def decodes(seq: Seq) -> bool:
            return not seq.prefilling and not alone

        while sum(wants(seq) for seq in self.running if decodes(seq)) > self.blank + len(self.idle):
            victim = self.running.pop()
            self.free(victim)
            victim.kv_arrives = False
            victim.prefilling = True
            self.waiting.insert(0, victim)
            preempted.append(victim)
            self.preemptions += 1
        work: list[tuple[Seq, int]] = []
        sequences = context = prefill = pairs = 0
        budget = self.budget
        # All decoding sequences' blocks first, then the prompt under way: as they stand in the running order.
        missing = sum(wants(seq) for seq in self.running if decodes(seq))
        fresh = [self.new_block() for _ in range(missing)]
        for seq in self.running:
            if alone and not seq.prefilling:
                continue
            if decodes(seq):
                if wants(seq):
                    seq.table.append(fresh.pop())
                work.append((seq, 1))
                sequences, context, budget = sequences + 1, context + seq.tokens, budget - 1
            else:
                chunk = min(budget, seq.tokens - seq.computed)
                work.append((seq, chunk))
                prefill, pairs = prefill + chunk, pairs + sum(seq.computed + i + 1 for i in range(chunk))
                budget -= chunk
                self.name_full(seq, seq.computed + chunk)
        while self.waiting and not preempted and budget > 0 and len(self.running) < self.seats:
            seq = self.waiting[0]
            hits = self.hits_if_it_fits(seq)
            if hits is None:
                break
            need = -(-seq.tokens // self.block_tokens) - len(hits)
            self.waiting.pop(0)
            self.running.append(seq)
            for block in hits:
                if block in self.idle:
                    self.idle.remove(block)
                block.holders += 1
            seq.table = hits + [self.new_block() for _ in range(need)]
            seq.computed = len(hits) * self.block_tokens
            if seq.cached_tokens is None:
                seq.cached_tokens = seq.computed
            if seq.kv_arrives:
                seq.computed = seq.tokens - 1
                work.append((seq, 1))
                sequences, context, budget = sequences + 1, context + seq.tokens, budget - 1
                self.name_full(seq, seq.tokens)
            else:
                chunk = min(budget, seq.tokens - seq.computed)
                work.append((seq, chunk))
                prefill, pairs = prefill + chunk, pairs + sum(seq.computed + i + 1 for i in range(chunk))
                budget -= chunk
                self.name_full(seq, seq.computed + chunk)
        if not work:
            return None
        first, resumed, finished = [], [], []
        for seq, tokens in work:
            resuming = seq.produced > 0 and seq.prefilling
            seq.computed += tokens
            self.name_full(seq, seq.computed)
            if seq.computed < seq.tokens:
                continue
            seq.produced += 1
            seq.prefilling = False
            if seq.produced == 1:
                first.append((seq.id, seq.cached_tokens))
            elif resuming:
                resumed.append(seq.id)
            if seq.produced == seq.max_tokens:
                finished.append(seq.id)
                self.running.remove(seq)
                if self.role == "prefill":
                    self.pinned.append(seq)
                else:
                    self.free(seq)
        return {
            "features": (prefill, pairs, sequences, context),
            "first": first,
            "resumed": resumed,
            "finished": finished,
            "preempted": [seq.id for seq in preempted],
            "events": self.events,
        }
