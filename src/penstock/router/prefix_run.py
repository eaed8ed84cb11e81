"""A run of blocks that the same workers hold, and each worker's hold of it: what the prefix index is made of.

A worker's holds stand in the order in which it got them: a ring of `Hold`s that begins and ends with one of no run, so
that a hold which is split stays where it is. Knows neither names of workers nor limits.
"""


class Run:
    """Blocks that came one after another, all held by the same workers.

    Args:
        hashes: their names; never empty, none twice.
        mask: bits of the workers that hold them; `holds`: their holds, one of each.
    """

    __slots__ = ("hashes", "holds", "mask")

    def __init__(self, hashes: tuple[int, ...]) -> None:
        self.hashes = hashes
        self.mask = 0
        self.holds: list[Hold] = []

    def hold_of(self, bit: int) -> "Hold":
        """The hold of a worker that is in `mask`."""
        for hold in self.holds:
            if hold.bit == bit:
                return hold
        raise KeyError(bit)

    def part(self, blocks: int, *, leading: bool) -> "Run":
        """Give away the `leading` blocks, or the others, as a new run next to this one in every worker's order."""
        new = Run(self.hashes[:blocks] if leading else self.hashes[blocks:])
        self.hashes = self.hashes[blocks:] if leading else self.hashes[:blocks]
        for hold in self.holds:
            older = leading is not hold.leaves_first
            confirmed = min(hold.confirmed, blocks), max(0, hold.confirmed - blocks)
            theirs, hold.confirmed = confirmed if leading else confirmed[::-1]
            new.held(hold.bit, hold.older if older else hold, confirmed=theirs, leaves_first=hold.leaves_first)
        return new

    def held(self, bit: int, after: "Hold", *, confirmed: int, leaves_first: bool) -> None:
        """A worker holds it, in its order right after another hold."""
        hold = Hold(self, bit, confirmed, leaves_first)
        hold.stand_after(after)
        self.holds.append(hold)
        self.mask |= bit

    def left(self, hold: "Hold") -> None:
        """A worker holds it no more."""
        hold.step_out()
        self.holds.remove(hold)
        self.mask ^= hold.bit


class Hold:
    """One worker's hold of a run, or with none, where its order begins and ends.

    Args:
        confirmed: so many leading blocks the worker published; the others are expected.
        leaves_first: its last block is the oldest one; else its first.
    """

    __slots__ = ("bit", "confirmed", "leaves_first", "older", "run", "younger")

    def __init__(self, run: Run | None, bit: int, confirmed: int = 0, leaves_first: bool = False) -> None:
        self.run = run
        self.bit = bit
        self.confirmed = confirmed
        self.leaves_first = leaves_first
        self.older = self.younger = self

    def stand_after(self, older: "Hold") -> None:
        """Step into an order, next younger than `older`."""
        self.older, self.younger = older, older.younger
        older.younger.older = self
        older.younger = self

    def step_out(self) -> None:
        """Leave the order."""
        self.older.younger, self.younger.older = self.younger, self.older


def agreement(own: tuple[int, ...], first: int, hashes: tuple[int, ...], at: int) -> int:
    """Count how many of `own` from `first` on are `hashes` from `at` on; the first ones are."""
    high, left = len(own) - first, len(hashes) - at
    if left < high:
        high = left
    if own[first : first + high] == hashes[at : at + high]:
        return high
    low = 1
    while low < high:  # `low` agree; more than `high` don't
        middle = (low + high + 1) >> 1
        if own[first + low : first + middle] == hashes[at + low : at + middle]:
            low = middle
        else:
            high = middle - 1
    return low
