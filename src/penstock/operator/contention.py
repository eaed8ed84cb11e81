"""When an object of ours is written again that somebody changes each time: at once, then later and later. Pure.

Once repaired is enough for a hand that slipped. Who changes it again within minutes is another controller, and would go
on for ever, as would we: so we wait, twice as long each time, and the status says who it is. What is wanted may change
meanwhile: that is written at once.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

FIRST_WAIT_S = 1.0  # before the second repair; the first is at once
LONGEST_WAIT_S = 300.0
FORGET_S = 900.0  # without a repair: whoever it was has ended


@dataclass(frozen=True, slots=True)
class _Written:
    digest: str  # of what we said
    version: int  # that the object had after it
    repairs: int
    at_s: float


class Contention(Generic[T]):
    """What this process wrote last of each object."""

    def __init__(self) -> None:
        self._written: dict[T, _Written] = {}

    def has_written(self, key: T, digest: str) -> bool:
        """Whether just that was what we said last: if it is due again, somebody changed it."""
        last = self._written.get(key)
        return last is not None and last.digest == digest

    def is_stale(self, key: T, digest: str, version: int | None) -> bool:
        """Whether what was seen is older than our own last write of the same: then it says nothing.

        Args: version: of the object as it was seen; None, if it was not there.
        """
        last = self._written.get(key)
        return last is not None and last.digest == digest and version is not None and version < last.version

    def wait_s(self, key: T, digest: str, now_s: float) -> float:
        """Seconds until it may be written again; 0: now."""
        last = self._written.get(key)
        if last is None or last.digest != digest or last.repairs == 0 or now_s - last.at_s >= FORGET_S:
            return 0.0
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (last.repairs - 1))
        return max(0.0, last.at_s + wait_s - now_s)

    def wrote(self, key: T, digest: str, version: int, now_s: float) -> None:
        """It was written."""
        last = self._written.get(key)
        again = last is not None and last.digest == digest and now_s - last.at_s < FORGET_S
        repairs = min(last.repairs + 1, 30) if again and last is not None else 0
        self._written[key] = _Written(digest, version, repairs, now_s)

    def forget(self, key: T) -> None:
        """It is gone."""
        self._written.pop(key, None)
