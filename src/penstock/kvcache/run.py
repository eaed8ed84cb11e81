"""A run of pages that were cached together: a node of the pool's tree, in which each path from a root is a prompt.

Knows no pool. All pages of a run have the same holders and were used at the same time, so a run is counted, aged and
freed as one; it is split where that ends, and shortened from its tail by eviction.
"""

from collections.abc import Sequence


class Run:
    """Consecutive pages of one chain.

    Args:
        hashes: their names, the one nearest to the root first; never empty.
        parent: the run that these follow; None at a root.

    `holders`: sequences that hold all of it. `children`: cached runs that follow it.
    """

    __slots__ = ("children", "hashes", "holders", "parent")

    def __init__(self, hashes: list[int], parent: "Run | None", holders: int) -> None:
        self.hashes = hashes
        self.parent = parent
        self.holders = holders
        self.children = 0

    def split(self, pages: int) -> "Run":
        """Part with the leading `pages`, as a run between this one and its parent. Returns: that run.

        What is left keeps its identity: its children, and those who hold it to its end, know it by that.
        """
        head = Run(self.hashes[:pages], self.parent, self.holders)
        head.children = 1
        del self.hashes[:pages]
        self.parent = head
        return head


def common(hashes: list[int], others: Sequence[int], at: int, limit: int) -> int:
    """Count the leading `hashes` that stand in `others` from place `at` on, before `limit`.

    Both are chained hashes, and the first are equal: an equal pair means equal pairs before it, so the last one is
    looked at first, and then half of what is left.
    """
    low, high = 1, min(len(hashes), limit - at)
    if hashes[high - 1] == others[at + high - 1]:
        return high
    high -= 1  # the answer is from `low` to `high`
    while low < high:
        middle = (low + high + 1) >> 1
        if hashes[middle - 1] == others[at + middle - 1]:
            low = middle
        else:
            high = middle - 1
    return low
