"""A pool's signals from its workers' views and the gateway's. Pure.

Sums and means are over ready workers. If one of them was never heard, the sum is unknown: a part of it would look like
less load and could scale a pool down. If one was heard long ago, the whole is as old as that. A pool without ready
workers has empty engines, so its queue is 0, while its KV use is not a number at all.

Prefill and decode pools see the same demand and the same latencies; which of them matters to whom is the policy's
business. Queue, running, KV, hits and CPU are each pool's own.
"""

from collections.abc import Callable, Mapping, Sequence

from penstock.control.worker_view import KV_USAGE, RUNNING, WAITING, WorkerView
from penstock.messages.observation import Sample, Signal


def pool_signals(
    workers: Sequence[WorkerView],
    gateway: Mapping[Signal, Sample],
    *,
    lead_time_s: float | None,
    now_s: float,
) -> dict[Signal, Sample]:
    """All signals of one pool.

    Args:
        workers: views of its ready workers.
        gateway: what the gateway says.
        lead_time_s: what a new replica takes to serve; None if unknown.
    """
    found: dict[Signal, Sample | None] = dict(gateway)
    queue = _over(workers, lambda worker: worker.gauge(WAITING, now_s))
    running = _over(workers, lambda worker: worker.gauge(RUNNING, now_s))
    found[Signal.QUEUE], found[Signal.RUNNING] = queue, running
    if queue and running:
        found[Signal.IN_FLIGHT] = Sample(value=queue.value + running.value, age_s=max(queue.age_s, running.age_s))
    if workers:
        found[Signal.KV_USAGE] = _mean(workers, lambda worker: worker.gauge(KV_USAGE, now_s))
        found[Signal.CPU] = _mean(workers, lambda worker: worker.cpu_ratio(now_s))
    hits = _hit_ratio(workers, now_s)
    if hits is not None:
        found[Signal.HIT_RATIO] = hits
    if lead_time_s is not None:
        found[Signal.LEAD_TIME] = Sample(value=lead_time_s)
    return {signal: sample for signal, sample in found.items() if sample is not None}


def _over(workers: Sequence[WorkerView], read: Callable[[WorkerView], Sample | None]) -> Sample | None:
    samples = [sample for worker in workers if (sample := read(worker)) is not None]
    if len(samples) < len(workers):
        return None
    return Sample(
        value=sum([sample.value for sample in samples], 0.0),
        age_s=max([sample.age_s for sample in samples], default=0.0),
    )


def _mean(workers: Sequence[WorkerView], read: Callable[[WorkerView], Sample | None]) -> Sample | None:
    total = _over(workers, read)
    return Sample(value=total.value / len(workers), age_s=total.age_s) if total else None


def _hit_ratio(workers: Sequence[WorkerView], now_s: float) -> Sample | None:
    """Over those that looked anything up: a new worker without traffic has no opinion."""
    prefixes = [prefix for worker in workers if (prefix := worker.prefixes(now_s)) is not None]
    queried = sum(prefix.queried for prefix in prefixes)
    if not queried > 0:
        return None
    return Sample(
        value=sum(prefix.found for prefix in prefixes) / queried, age_s=max(prefix.age_s for prefix in prefixes)
    )
