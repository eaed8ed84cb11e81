"""Worker processes for tests: started on a free port, ended by pid, never left behind."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from worker_process import Launcher, WorkerProcess, launch


@pytest.fixture
def start_worker() -> Iterator[Launcher]:
    """Starts workers that end with the test."""
    started: list[WorkerProcess] = []

    def start(*flags: object, ready: bool = True, **options: Any) -> WorkerProcess:
        worker = launch(*flags, **options)
        started.append(worker)
        return worker.wait_ready() if ready else worker

    yield start
    for worker in started:
        worker.end()


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    """One ordinary worker for a whole file."""
    process = launch("--max-model-len", 4096)
    with contextlib.ExitStack() as stack:
        stack.callback(process.end)
        yield process.wait_ready()
        process.signal(signal.SIGTERM)
        assert process.process.wait(10) == 0
