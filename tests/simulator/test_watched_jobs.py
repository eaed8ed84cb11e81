"""Jobs on all cores: what they return, and what is told of them meanwhile."""

import multiprocessing
import time
from concurrent.futures import Future

import pytest
from virtual_runs import deployment, workload

from penstock.simulator.run import simulate
from penstock.simulator.watched_jobs import JobsSeen, WatchedJobs, watchers

LENGTH_S = 20.0


def run(seed: int) -> int:
    """A run of about LENGTH_S; returns its requests."""
    arrivals = workload(seed, 160)
    result = simulate(deployment(), iter(arrivals), listeners=watchers()).result
    return result.requests.offered


def fail(seed: int) -> int:
    raise ValueError(f"seed {seed}")


def test_results_come_back_and_every_job_and_request_is_told() -> None:
    """In the end all are done, the share is one, and requests add up over processes."""
    told: list[JobsSeen] = []
    with WatchedJobs(length_s=LENGTH_S, tell=told.append) as jobs:
        assert list(jobs.map(run, range(5))) == [160] * 5
    last = max(told, key=lambda seen: (seen.done, seen.requests))
    assert (last.jobs, last.done, last.share) == (5, 5, 1.0)
    assert last.requests == 5 * 160
    assert all(0 <= seen.share <= 1 for seen in told if seen.share is not None)


def test_an_unknown_length_gives_no_share() -> None:
    """A compressed trace does not say how long it is."""
    told: list[JobsSeen] = []
    with WatchedJobs(length_s=None, tell=told.append) as jobs:
        jobs.submit(run, 1).result()
    assert told
    assert {seen.share for seen in told} == {None}


def test_an_error_comes_back_as_in_one_process_and_the_rest_goes_on() -> None:
    """A failed job is done too."""
    told: list[JobsSeen] = []
    with WatchedJobs(length_s=LENGTH_S, tell=told.append) as jobs:
        bad: Future[int] = jobs.submit(fail, 7)
        good = jobs.submit(run, 7)
        with pytest.raises(ValueError, match="seed 7"):
            bad.result()
        assert good.result() == 160
    assert max(seen.done for seen in told) == 2


def test_a_block_that_ends_by_an_error_leaves_no_process() -> None:
    """It does not wait for jobs that would take a minute: Ctrl-C ends them."""
    before = set(multiprocessing.active_children())
    waiting: list[Future[None]] = []

    def interrupted() -> None:
        with WatchedJobs(length_s=LENGTH_S, tell=lambda seen: None) as jobs:
            waiting.extend(jobs.submit(time.sleep, 50) for _ in range(8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(each.done() for each in waiting)
    assert set(multiprocessing.active_children()) == before


def test_nobody_watches_a_run_outside() -> None:
    """`simulate` in this process tells nothing."""
    assert watchers() == ()
