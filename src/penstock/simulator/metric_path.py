"""The way of the metrics, from the processes to whoever decides: who is scraped when, and what is then seen.

Without an interval all are read afresh at every look. With one, each process is a target of its own: it is scraped
every so many seconds, at a place within the interval that is its own and fixed (Prometheus spreads its targets by a
hash of their labels; where the processes are asked directly, all have the same), up to `jitter_s` late, and a share of
scrapes fails. What was scraped goes to the very readers of real scrapes (`control.gateway_view`, `worker_view`), to the
router, and to `prometheus` where queries stand between.
"""

import math
import random
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial

from penstock.control.gateway_view import GatewayView
from penstock.control.pool_signals import pool_signals
from penstock.control.worker_view import WorkerView
from penstock.messages.observation import Sample, Signal
from penstock.messages.spec import DeploymentBody
from penstock.simulator.calendar import Calendar
from penstock.simulator.metrics_spec import MetricsSpec
from penstock.simulator.prometheus import Prometheus
from penstock.simulator.records import Records
from penstock.simulator.serving import Serving
from penstock.simulator.virtual_worker import VirtualWorker
from penstock.simulator.worker_counters import WorkerCounters

MAX_SCRAPED = 512  # of one component: those that have gone leave Prometheus' window long before
_GATEWAY = "gateway"


class MetricPath:
    """The scraped processes of one deployment.

    Args:
        seed: of places within the interval, jitter and failed scrapes.
    """

    def __init__(
        self,
        spec: DeploymentBody,
        metrics: MetricsSpec,
        serving: Serving,
        records: Records,
        calendar: Calendar,
        *,
        seed: int,
    ) -> None:
        self._metrics = metrics
        self._serving, self._records, self._calendar = serving, records, calendar
        self._seed = seed
        self._random = random.Random(f"{seed}/scrapes")
        self.gateway_view = GatewayView(spec.slo)
        self.gateway_view.born(0.0)
        self.views: dict[str, WorkerView] = {}
        self._scraped: dict[str, deque[str]] = {pool.name: deque(maxlen=MAX_SCRAPED) for pool in spec.pools}
        self._prometheus = Prometheus(metrics, percentile=spec.slo.percentile) if metrics.queried else None
        if metrics.every_s:
            self._again(_GATEWAY, None)

    def appeared(self, component: str, worker: VirtualWorker) -> None:
        """A worker serves: it is a target from now on."""
        self.views[worker.id] = WorkerView(self._calendar.now_s)
        scraped = self._scraped[component]
        if worker.id not in scraped:  # else it crashed and is back
            if len(scraped) == MAX_SCRAPED and self._prometheus is not None:
                self._prometheus.forget(scraped[0])
            scraped.append(worker.id)
        if self._metrics.every_s:
            self._again(worker.id, worker)

    def gone(self, worker_id: str) -> None:
        """It serves no more."""
        if self.views.pop(worker_id, None) is not None and self._prometheus is not None:
            self._prometheus.gone(worker_id, self._calendar.now_s)

    def look(self) -> None:
        """Somebody looks: read what is read afresh."""
        if not self._metrics.every_s:
            self._serving.split_bursts()
            self._scrape(_GATEWAY, None)
            for worker_id in tuple(self.views):
                worker = self._serving.workers.get(worker_id)
                if worker is not None:
                    self._scrape(worker_id, worker)

    def signals(
        self, component: str, ready: Sequence[str], *, interval_s: float, lead_time_s: float
    ) -> Mapping[Signal, Sample]:
        """What is seen of a component, decided every `interval_s`."""
        now_s = self._calendar.now_s
        if self._prometheus is not None:
            return self._prometheus.signals(self._scraped[component], now_s, lead_time_s=lead_time_s)
        gateway = self.gateway_view.signals(now_s, interval_s)
        views = [self.views[worker] for worker in ready]
        return pool_signals(views, gateway, lead_time_s=lead_time_s, now_s=now_s)

    # --- scrapes

    def _again(self, target: str, worker: VirtualWorker | None) -> None:
        """Scrape a target at its next instant, and so on for as long as it is there."""
        every_s, place_s = self._metrics.every_s, 0.0
        if self._metrics.queried:
            place_s = random.Random(f"{self._seed}/{target}").random() * every_s
        turn = math.floor((self._calendar.now_s - place_s) / every_s) + 1

        def scrape(turn: int) -> None:
            if worker is None:
                self._serving.split_bursts()
            elif self._serving.workers.get(target) is worker:
                self._serving.split_burst(worker)
            if worker is None or self._serving.workers.get(target) is worker:
                self._scrape(target, worker)
                plan(turn + 1)

        def plan(turn: int) -> None:
            late_s = self._random.random() * self._metrics.jitter_s if self._metrics.jitter_s else 0.0
            self._calendar.at(place_s + turn * every_s + late_s, partial(scrape, turn))

        plan(turn)

    def _scrape(self, target: str, worker: VirtualWorker | None) -> None:
        if self._metrics.missed and self._random.random() < self._metrics.missed:
            if self._prometheus is not None:
                self._prometheus.missed(None if worker is None else target, self._calendar.now_s)
        elif worker is None:
            self._scrape_gateway()
        else:
            self._scrape_worker(worker)

    def _scrape_gateway(self) -> None:
        at_s, counters = self._calendar.now_s, self._records.counters
        counters.held = len(self._serving.held)
        self.gateway_view.read(at_s, counters)
        if self._prometheus is not None:
            self._prometheus.scrape_gateway(at_s, counters)

    def _scrape_worker(self, worker: VirtualWorker) -> None:
        at_s = self._calendar.now_s
        counters = WorkerCounters(worker)
        self.views[worker.id].read(at_s, counters)
        if self._prometheus is not None:
            self._prometheus.scrape_worker(at_s, worker.id, counters)
        self._serving.router.measured(worker.id, counters.load(at_s), at_s)
