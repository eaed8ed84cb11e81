"""What one worker has to do: kept from what it was sent, had its first token and finished; corrected by what it told.

Requests wait for their first token in the order sent, then run. Sums are kept, so that reading them costs nothing.

A measurement speaks of its own instant. What was sent or ended since is put on top, so an old one never undoes what
is known better. It leaves a difference: more than ours (others send there too) or less (a `finished` got lost); it
holds until the next measurement, at most `HOLDS_S`. Missing and NaN values leave the old difference: no data is not
zero.

It doesn't know how long anything takes.
"""

from collections import deque
from math import isfinite
from typing import Final, NamedTuple, TypeGuard

from penstock.router.route_request import RequestId
from penstock.router.worker_info import WorkerLoad

HOLDS_S: Final = 30.0  # scrapes come every second or few; after this long they are lost and only our own count is left
REMEMBERED_ENDS: Final = 256  # with more ends since a measurement, it is too old to use
TRANSIT_S: Final = 0.05  # a request sent this shortly before the worker counted may not have been there yet
MIN_KV_RATIO: Final = 0.1  # requests that share prefixes share blocks; ten to one is much


class Task:
    """One request on one worker.

    Args:
        prefill_tokens, work_s: what is left of the prompt after the hit, and how long that takes by the step time.
        kv_tokens: what it will hold, on average.
    """

    __slots__ = ("id", "kv_tokens", "prefill_tokens", "sent_s", "work_s")

    def __init__(self, request: RequestId, sent_s: float, prefill_tokens: int, work_s: float, kv_tokens: float) -> None:
        self.id = request
        self.sent_s = sent_s
        self.prefill_tokens = prefill_tokens
        self.work_s = work_s
        self.kv_tokens = kv_tokens


class ExpectedLoad:
    """Requests on one worker, and their sums."""

    __slots__ = (
        "_ends",
        "computed_s",
        "extra",
        "extra_waiting",
        "kv_extra_tokens",
        "kv_ratio",
        "kv_tokens",
        "measured_at_s",
        "pending_tokens",
        "pending_work_s",
        "progress_from_s",
        "running",
        "running_kv_tokens",
        "waiting",
    )

    def __init__(self) -> None:
        self.waiting: dict[RequestId, Task] = {}  # no first token yet, in the order sent
        self.running: dict[RequestId, Task] = {}
        self.pending_tokens = 0
        self.pending_work_s = 0.0
        self.progress_from_s = 0.0  # since when the head of `waiting` is being computed
        self.computed_s = 0.0  # prefill work done since the start: others' decoding stalled for so long
        self.running_kv_tokens = 0.0
        self.kv_tokens = 0.0
        self.measured_at_s = -1.0  # before every instant
        self.extra = 0.0  # requests that the worker has beyond ours; negative: fewer
        self.extra_waiting = 0.0  # thereof waiting
        self.kv_ratio = 1.0  # KV used over ours, where it is less
        self.kv_extra_tokens = 0.0  # KV used beyond ours
        self._ends: deque[tuple[float, float, float]] = deque(maxlen=REMEMBERED_ENDS)  # sent, ended, KV tokens

    @property
    def in_flight(self) -> float:
        """Requests that the worker has, ours and others'; never negative."""
        return max(0.0, len(self.waiting) + len(self.running) + self.extra)

    def sent(self, task: Task, prefill: bool, now_s: float) -> None:
        """A request was sent; `prefill`: the worker computes its prompt."""
        if prefill:
            if not self.waiting:
                self.progress_from_s = now_s
            self.waiting[task.id] = task
            self.pending_tokens += task.prefill_tokens
            self.pending_work_s += task.work_s
        else:
            self.running[task.id] = task
            self.running_kv_tokens += task.kv_tokens
        self.kv_tokens += task.kv_tokens

    def first_token(self, request: RequestId, now_s: float) -> None:
        """Its prompt is computed: it runs now."""
        task = self._leave_waiting(request)
        if task is not None:
            if now_s > self.progress_from_s:
                self.progress_from_s = now_s
            self.computed_s += task.work_s
            self.running[request] = task
            self.running_kv_tokens += task.kv_tokens

    def ended(self, request: RequestId, now_s: float) -> None:
        """It is no longer there, for whatever reason."""
        running = self.running
        task = running.pop(request, None)
        if task is None:
            if request == next(iter(self.waiting), None):  # else the head is being computed as before
                self.progress_from_s = max(self.progress_from_s, now_s)
            task = self._leave_waiting(request)
            if task is None:
                return
        elif running:
            left = self.running_kv_tokens - task.kv_tokens
            self.running_kv_tokens = left if left > 0.0 else 0.0
        else:
            self.running_kv_tokens = 0.0
        if running or self.waiting:
            left = self.kv_tokens - task.kv_tokens
            self.kv_tokens = left if left > 0.0 else 0.0
        else:
            self.kv_tokens = 0.0
        self._ends.append((task.sent_s, now_s, task.kv_tokens))
        if self.extra < 0:  # it may have been one of those that the worker did not have
            self.extra = max(self.extra, -float(len(self.waiting) + len(self.running)))

    def measured(self, seen: WorkerLoad, *, kv_capacity_tokens: float, now_s: float) -> bool:
        """Compare what the worker told with what was ours at that instant. Returns: whether it may change a price."""
        at_s = min(seen.at_s, now_s)
        if not at_s > self.measured_at_s or now_s - at_s > HOLDS_S:
            return False
        if self._agrees_on_nothing(seen, at_s):
            self.measured_at_s = at_s
            return False
        ours = self._at(at_s)
        if ours is None:
            return False
        useful = False
        if _told(seen.running):
            useful = True
            if _told(seen.waiting):
                beyond = seen.running + seen.waiting - ours.requests
                self.extra = beyond if beyond >= 0 else min(0.0, beyond + ours.young)
                self.extra_waiting = min(max(0.0, seen.waiting - ours.waiting), max(0.0, self.extra))
            else:  # only a lower bound
                self.extra = max(self.extra, seen.running - ours.requests)
            self.extra = max(self.extra, -float(len(self.waiting) + len(self.running)))
        if _told(seen.kv_usage) and isfinite(kv_capacity_tokens):
            useful = True
            used = min(seen.kv_usage, 1.0) * kv_capacity_tokens
            self.kv_extra_tokens = max(0.0, used - ours.kv_tokens)
            self.kv_ratio = max(MIN_KV_RATIO, min(1.0, used / ours.kv_tokens)) if ours.kv_tokens > 0 else 1.0
        if useful:
            self.measured_at_s = at_s
        return useful

    def _agrees_on_nothing(self, seen: WorkerLoad, at_s: float) -> bool:
        """Whether the worker is idle, says so and was believed to be: the most frequent case of many workers."""
        return (
            not self.running
            and not self.waiting
            and seen.running == seen.waiting == seen.kv_usage == 0
            and self.extra == self.extra_waiting == self.kv_extra_tokens == 0
            and self.kv_ratio == 1
            and (not self._ends or self._ends[-1][1] <= at_s)
        )

    def outdated(self, now_s: float) -> bool:
        """Let go of a measurement that is too old to hold. Returns: whether anything changed."""
        if now_s - self.measured_at_s <= HOLDS_S:
            return False
        changed = bool(self.extra or self.kv_extra_tokens or self.kv_ratio != 1.0)
        self.extra = self.extra_waiting = self.kv_extra_tokens = 0.0
        self.kv_ratio = 1.0
        return changed

    def kv_tokens_at(self, at_s: float) -> float:
        """KV that our requests of that instant were to hold; 0 if that is too long ago."""
        ours = self._at(at_s)
        return 0.0 if ours is None else ours.kv_tokens

    def _leave_waiting(self, request: RequestId) -> Task | None:
        task = self.waiting.pop(request, None)
        if task is None:
            return None
        if self.waiting:
            self.pending_tokens -= task.prefill_tokens
            self.pending_work_s = max(0.0, self.pending_work_s - task.work_s)
        else:  # exact zero: no rounding is left behind
            self.pending_tokens, self.pending_work_s = 0, 0.0
        return task

    def _at(self, at_s: float) -> "_Ours | None":
        """Count what was ours at an instant; None if that is too long ago."""
        requests, waiting, kv_tokens = len(self.waiting) + len(self.running), len(self.waiting), self.kv_tokens
        young = 0
        for tasks in (self.waiting, self.running):
            for task in tasks.values():
                if task.sent_s > at_s:
                    requests -= 1
                    waiting -= tasks is self.waiting
                    kv_tokens -= task.kv_tokens
                elif task.sent_s > at_s - TRANSIT_S:
                    young += 1
        for sent_s, ended_s, tokens in reversed(self._ends):
            if ended_s <= at_s:
                break
            if sent_s <= at_s:
                requests += 1
                kv_tokens += tokens
        else:
            if len(self._ends) == REMEMBERED_ENDS:
                return None
        return _Ours(requests, waiting, young, max(0.0, kv_tokens))


class _Ours(NamedTuple):
    """Our own count at an earlier instant; `young`: sent so shortly before that they may not have arrived."""

    requests: int
    waiting: int
    young: int
    kv_tokens: float


def _told(value: float | None) -> TypeGuard[float]:
    return value is not None and isfinite(value) and value >= 0
