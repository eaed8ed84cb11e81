"""All sequences that decode, as integers: advancing them by k steps costs the same for any k and any number of them.

Knows no requests that wait or prefill, and no time; only a step counter `step`, the number of steps done.

Theory. A decoding sequence computes one token in every step, so everything about it follows from the counter: in step
s its context is `offset + s`, and it ends with step `finish_step`. Then

- the number of sequences and the sum of offsets give the summed context of any step;
- it needs a new block in the steps in which `offset + s - 1` is a multiple of the block size: one slot of a table with
  `block_tokens` slots, in which the sequences of each phase are counted, gives the blocks that any step takes;
- what next happens to it, its end or a page filled, is one integer `step << 40 | admission` in a heap. Admissions
  number the order of running, so that sequences with the same step come out oldest first. Entries of sequences that
  left are skipped when they surface.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from penstock.engine.sequence import Sequence

_ADMISSION_BITS: Final = 40  # a thousand admissions a second for 34 years
_ADMISSION_MASK: Final = (1 << _ADMISSION_BITS) - 1


class Decoding:
    """The decoding sequences of one engine, by admission."""

    __slots__ = (
        "_block_tokens",
        "_busy",
        "_heap",
        "_page_tokens",
        "_phases",
        "context_tokens",
        "count",
        "members",
        "step",
    )

    def __init__(self, block_tokens: int, page_tokens: int) -> None:
        self.step = 0
        self.count = 0
        self.context_tokens = 0  # summed in the next step
        self.members: dict[int, Sequence] = {}  # oldest first: admissions only grow
        self._block_tokens = block_tokens
        self._page_tokens = page_tokens
        self._heap: list[int] = []
        self._phases = [0] * block_tokens
        self._busy = 0  # bit p: phase p has a sequence

    def add(self, sequence: Sequence, remaining: int) -> None:
        """A sequence has sampled a token after computing `target`; `remaining` more are to come, at least one."""
        target = sequence.target
        sequence.finish_step = finish = self.step + remaining
        sequence.offset = offset = target - self.step
        self.count += 1
        self.context_tokens += target + 1
        phase = (1 - offset) % self._block_tokens
        self._phases[phase] += 1
        self._busy |= 1 << phase
        self.members[sequence.admission] = sequence
        if sequence.block_hashes:
            self.schedule(sequence)
        else:
            heappush(self._heap, finish << _ADMISSION_BITS | sequence.admission)

    def schedule(self, sequence: Sequence) -> None:
        """Note what next happens to the sequence: it ends, or fills a page that has a name."""
        step = sequence.finish_step
        if sequence.pages < len(sequence.block_hashes):
            filled = (sequence.pages + 1) * self._page_tokens - sequence.offset
            if filled < step:
                step = filled
        heappush(self._heap, step << _ADMISSION_BITS | sequence.admission)

    def remove(self, sequence: Sequence) -> None:
        """A sequence leaves: finished, preempted or cancelled."""
        del self.members[sequence.admission]
        self.count -= 1
        offset = sequence.offset
        self.context_tokens -= offset + self.step + 1
        phase = (1 - offset) % self._block_tokens
        phases = self._phases
        phases[phase] = left = phases[phase] - 1
        if not left:
            self._busy ^= 1 << phase
        heap = self._heap
        if len(heap) > 4 * self.count + 64:  # long outputs that were cut short: their entries would surface late
            heap[:] = [entry for entry in heap if entry & _ADMISSION_MASK in self.members]
            heapify(heap)

    def youngest(self) -> Sequence:
        """The one admitted last."""
        return self.members[next(reversed(self.members))]

    def repeatable(self, blank: int) -> int:
        """How often the next step can repeat until a sequence ends or fills a page, or its `blank` blocks are used up.

        The blocks of the first are taken already. Only if there are sequences.
        """
        heap = self._heap
        members = self.members
        while heap[0] & _ADMISSION_MASK not in members:
            heappop(heap)
        steps = (heap[0] >> _ADMISSION_BITS) - self.step
        # In `block_tokens` steps each sequence takes one block exactly.
        if steps > 1 and steps > blank // self.count * self._block_tokens:
            return 1 + self._steps_within(blank, self.step + 2, steps - 1)
        return steps

    def advance(self, steps: int) -> list[Sequence]:
        """Do `steps` steps. Returns: those to which something happened in the last of them, oldest first.

        What comes next to these is to be scheduled.
        """
        self.step = step = self.step + steps
        due: list[Sequence] = []
        if not self.count:
            return due
        self.context_tokens += self.count * steps
        heap = self._heap
        after = (step + 1) << _ADMISSION_BITS
        while heap and heap[0] < after:
            sequence = self.members.get(heappop(heap) & _ADMISSION_MASK)
            if sequence is not None:
                due.append(sequence)
        return due

    def demand(self) -> int:
        """Blocks that the sequences need in the next step."""
        return self._phases[(self.step + 1) % self._block_tokens]

    def later_demand(self, steps: int) -> int:
        """Blocks that they need in the next `steps` steps, the first of them excluded."""
        size = self._block_tokens
        steps -= 1
        begin = (self.step + 2) % size
        end = begin + steps % size
        phases = self._phases
        blocks = steps // size * self.count + sum(phases[begin:end])
        if end > size:
            blocks += sum(phases[: end - size])
        return blocks

    def _steps_within(self, blocks: int, first: int, limit: int) -> int:
        """How many steps from `first` on, at most `limit`, take no more than `blocks` blocks together."""
        size = self._block_tokens
        # In `size` steps each sequence takes one block exactly.
        steps = blocks // self.count * size
        if steps >= limit:
            return limit
        blocks -= steps // size * self.count
        # Less than one more cycle: walk its busy phases, the next one first.
        phases = self._phases
        at = (first + steps) % size
        ahead = self._busy >> at | (self._busy & (1 << at) - 1) << size - at
        while True:
            lowest = ahead & -ahead
            distance = lowest.bit_length() - 1
            if steps + distance >= limit:
                return limit
            blocks -= phases[(at + distance) % size]
            if blocks < 0:
                return steps + distance
            ahead ^= lowest
