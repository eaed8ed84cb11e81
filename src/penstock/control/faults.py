"""What went wrong in a loop of control and was left behind: counted always, told in full once and then in one line."""

import logging
from collections import Counter

log = logging.getLogger(__name__)


class Faults:
    """Failed steps, by step: observe, listen, decide, act, supervise. A fault at every turn must not flood the log."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._told: dict[str, str] = {}

    def caught(self, step: str, error: Exception) -> None:
        """Count a failed step; to be called where it was caught."""
        self.counts[step] += 1
        what = f"{type(error).__name__}: {error}"
        new = self._told.get(step) != what
        self._told[step] = what
        log.error("control loop: %s failed (%s); trying again", step, what, exc_info=error if new else None)
