"""A pool's signals from its workers: no data is not zero."""

import pytest

from penstock.control.exposition import Scrape, Series
from penstock.control.pool_signals import pool_signals
from penstock.control.worker_view import KV_USAGE, PREFIX_HITS, PREFIX_QUERIES, RUNNING, WAITING, WorkerView
from penstock.messages.observation import Sample, Signal


def scrape(**values: float) -> Scrape:
    names = {"running": RUNNING, "waiting": WAITING, "kv": KV_USAGE, "queries": PREFIX_QUERIES, "hits": PREFIX_HITS}
    return Scrape(tuple(Series(name=names[key], labels={}, value=value) for key, value in values.items()))


def worker(at_s: float = 10, **values: float) -> WorkerView:
    view = WorkerView(born_s=0)
    view.read(at_s, scrape(**values))
    return view


def signals(*workers: WorkerView, gateway: dict[Signal, Sample] | None = None, now_s: float = 10) -> dict:
    return pool_signals(workers, gateway or {}, lead_time_s=8.0, now_s=now_s)


def test_queue_and_running_add_up_and_kv_use_is_a_mean() -> None:
    found = signals(worker(running=3, waiting=1, kv=0.2), worker(running=5, waiting=0, kv=0.6))
    assert found[Signal.RUNNING].value == 8
    assert found[Signal.QUEUE].value == 1
    assert found[Signal.IN_FLIGHT].value == 9
    assert found[Signal.KV_USAGE].value == pytest.approx(0.4)
    assert found[Signal.LEAD_TIME].value == 8.0


def test_one_worker_that_was_never_heard_leaves_the_sum_unknown() -> None:
    found = signals(worker(running=3, waiting=1, kv=0.2), WorkerView(born_s=0))
    assert not {Signal.QUEUE, Signal.RUNNING, Signal.IN_FLIGHT, Signal.KV_USAGE} & set(found)


def test_the_sum_is_as_old_as_its_oldest_part() -> None:
    found = signals(worker(at_s=10, running=3, waiting=1, kv=0.2), worker(at_s=4, running=1, waiting=0, kv=0.1))
    assert found[Signal.QUEUE].age_s == 6
    assert found[Signal.QUEUE].value == 1


def test_a_metric_that_turns_nan_keeps_its_last_value_and_grows_old() -> None:
    view = worker(at_s=10, running=3, waiting=1, kv=0.2)
    view.read(12, scrape(running=4, kv=0.3))  # the parser left the NaN out
    found = signals(view, now_s=12)
    assert (found[Signal.RUNNING].age_s, found[Signal.QUEUE].age_s) == (0, 2)


def test_a_pool_without_workers_has_an_empty_queue_and_no_kv_use() -> None:
    found = signals()
    assert found[Signal.QUEUE].value == 0
    assert not {Signal.KV_USAGE, Signal.CPU} & set(found)


def test_hits_come_from_the_pools_own_workers_and_else_from_the_gateway() -> None:
    gateway = {Signal.HIT_RATIO: Sample(value=0.9), Signal.TTFT: Sample(value=0.3)}
    own = signals(worker(queries=1000, hits=100), worker(queries=1000, hits=300), gateway=gateway)
    assert own[Signal.HIT_RATIO].value == pytest.approx(0.2)
    assert own[Signal.TTFT].value == 0.3
    assert signals(worker(queries=0, hits=0), gateway=gateway)[Signal.HIT_RATIO].value == 0.9


def test_cpu_is_a_mean_over_workers() -> None:
    views = [WorkerView(born_s=0) for _ in range(2)]
    for view, share in zip(views, (0.2, 0.6), strict=True):
        for second in range(11):
            view.used_cpu(second, second * share)
    assert signals(*views)[Signal.CPU].value == pytest.approx(0.4)
