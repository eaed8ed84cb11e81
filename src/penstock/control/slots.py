"""Places for replicas, as nodes are in a cluster: the first start in a slot is cold, later ones are warm.

A slot stands for one VM. Cold is a new VM with driver, image and weights still to come; warm is a VM that was
deallocated and kept its disk, as AKS does in scale-down mode `Deallocate`: nothing is paid for it in between, and
only the boot is left. What a start takes beyond the spec's delay (process, engine, probe) is learned from starts.
"""

from collections import deque

from penstock.messages.engine_spec import StartupSpec

# Beyond the spec's delay, until a first start was measured: a Python process, its tokenizer, one probe.
FIRST_OVERHEAD_S = 1.5
_STARTS_REMEMBERED = 5  # enough to smooth, few enough to follow a machine that got busy


class Slots:
    """The slots of one pool. Grows when none is free; there are never more than were in use at once."""

    def __init__(self, startup: StartupSpec) -> None:
        self._startup = startup
        self._warm: list[bool] = []
        self._free: list[int] = []
        self._overheads_s: deque[float] = deque(maxlen=_STARTS_REMEMBERED)

    @property
    def overhead_s(self) -> float:
        """What a start takes beyond the spec's delay."""
        return sum(self._overheads_s) / len(self._overheads_s) if self._overheads_s else FIRST_OVERHEAD_S

    @property
    def lead_time_s(self) -> float:
        """What the next start will take, asked now: warm, if a warm slot is free."""
        warm = any(self._warm[slot] for slot in self._free)
        return (self._startup.warm_s if warm else self._startup.cold_s) + self.overhead_s

    def take(self) -> tuple[int, float]:
        """Take a free slot, a warm one first. Returns: the slot, and the delay of a start in it."""
        if not self._free:
            self._warm.append(False)
            self._free.append(len(self._warm) - 1)
        slot = min(self._free, key=lambda free: (not self._warm[free], free))
        self._free.remove(slot)
        return slot, self._startup.warm_s if self._warm[slot] else self._startup.cold_s

    def started(self, slot: int, *, took_s: float, delay_s: float) -> None:
        """A worker in it became ready: from now on the slot is warm."""
        self._warm[slot] = True
        self._overheads_s.append(max(0.0, took_s - delay_s))

    def leave(self, slot: int) -> None:
        """The worker in it is gone."""
        self._free.append(slot)
