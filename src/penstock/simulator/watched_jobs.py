"""Runs spread over all cores, with word of how far they are: an executor whose jobs tell it as they go.

Each process sends (job, its own time, requests) through one pipe, and a thread adds them up. Jobs all replay the same
workload, so how far one is follows from its own time. The share falls when more jobs come: a search doesn't know
beforehand how many it takes.

A block that ends by an error, Ctrl-C among them, does not wait for jobs under way: their processes are ended.
"""

import multiprocessing
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from penstock.control.loop import Listener
from penstock.simulator.run_watch import RunWatch

T = TypeVar("T")
Word = tuple[int, float, int] | None  # job, its time in s, requests that arrived; None: no more will come


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsSeen:
    """How far they are together. `share`: 0 to 1, None if nobody knows how long the workload is."""

    jobs: int
    done: int
    requests: int
    share: float | None


@dataclass(slots=True)
class _Sum:
    length_s: float | None
    jobs: int = 0
    done: set[int] = field(default_factory=set)
    shares: dict[int, float] = field(default_factory=dict)
    requests: dict[int, int] = field(default_factory=dict)

    def seen(self) -> JobsSeen:
        share = None
        if self.length_s:
            under_way = sum(share for job, share in self.shares.items() if job not in self.done)
            share = (len(self.done) + under_way) / self.jobs if self.jobs else 0.0
        return JobsSeen(jobs=self.jobs, done=len(self.done), requests=sum(self.requests.values()), share=share)


class WatchedJobs(Executor):
    """A process pool.

    Args:
        length_s: of the workload that each job replays, if known.
        tell: is given how far they are, from a thread.
    """

    def __init__(self, *, length_s: float | None, tell: Callable[[JobsSeen], None]) -> None:
        context = multiprocessing.get_context()
        self._others = set(multiprocessing.active_children())
        self._tell = tell
        self._sum = _Sum(length_s)
        self._lock = threading.Lock()
        self._words: SimpleQueue[Word] = context.SimpleQueue()
        self._pool = ProcessPoolExecutor(mp_context=context, initializer=_connect, initargs=(self._words,))
        self._reader = threading.Thread(target=self._read, name="watched jobs", daemon=True)

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run it in some process; see `concurrent.futures`."""
        with self._lock:
            number = self._sum.jobs
            self._sum.jobs += 1
        future = self._pool.submit(_run, number, function, *args, **kwargs)
        future.add_done_callback(lambda _: self._done(number))
        if not self._reader.ident:  # only now: processes are forked before there is a thread
            self._reader.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes, then listen no more."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        if self._reader.ident:
            self._words.put(None)
            self._reader.join()
        self._words.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is None:
            return super().__exit__(kind, error, trace)
        for process in set(multiprocessing.active_children()) - self._others:
            process.terminate()
        # One may have died while it held the pipe, so nothing more is put into it; its reader is a daemon.
        self._pool.shutdown(wait=True, cancel_futures=True)
        return None

    def _read(self) -> None:
        while (word := self._words.get()) is not None:
            job, time_s, requests = word
            with self._lock:
                if self._sum.length_s:
                    self._sum.shares[job] = min(1.0, time_s / self._sum.length_s)
                self._sum.requests[job] = requests
                seen = self._sum.seen()
            self._tell(seen)

    def _done(self, number: int) -> None:
        with self._lock:
            self._sum.done.add(number)
            seen = self._sum.seen()
        self._tell(seen)


_words: "SimpleQueue[Word] | None" = None  # in a process of the pool: where its word goes
_watch: RunWatch | None = None  # of the job under way


def watchers() -> tuple[Listener, ...]:
    """What a run in this process has to tell; nothing, if nobody watches."""
    return () if _watch is None else (_watch,)


def _connect(words: "SimpleQueue[Word]") -> None:
    global _words
    _words = words
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C comes here too: who started us decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(number: int, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    global _watch
    words = _words
    assert words is not None
    _watch = RunWatch(lambda time_s, requests: words.put((number, time_s, requests)))
    done = function(*args, **kwargs)
    _watch.say()
    return done
