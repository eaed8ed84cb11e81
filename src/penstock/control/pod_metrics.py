"""What the pods of a deployment say, asked of each of them at every look."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import aiohttp

from penstock.clock import Clock
from penstock.control import gateway_view, worker_view
from penstock.control.cluster_pods import ClusterPod
from penstock.control.exposition import Scrape, parse_exposition
from penstock.control.gateway_view import GatewayView
from penstock.control.health import scrape
from penstock.control.pool_signals import pool_signals
from penstock.control.summed_scrapes import SummedScrapes
from penstock.control.worker_view import WorkerView
from penstock.messages.observation import Sample, Signal
from penstock.messages.spec import SloSpec
from penstock.messages.worker import WorkerState


class Metrics(Protocol):
    """Where a deployment's figures come from."""

    async def look(self, gateways: Sequence[ClusterPod], workers: Sequence[ClusterPod], now_s: float) -> None:
        """Read what there is to read. Args: gateways, workers: the pods that there are, ready or not."""

    def signals(
        self, component: str, ready: Sequence[ClusterPod], *, interval_s: float, lead_time_s: float, now_s: float
    ) -> dict[Signal, Sample]:
        """A pool's signals; one that is not known is absent. Args: interval_s: how often the pool is decided."""

    def gauge(self, pod: ClusterPod, name: str) -> float:
        """A worker's last reading, for display; 0 if there is none."""

    def totals(self) -> Mapping[str, float]:
        """The gateways' counts; empty if they are not known."""


def is_serving(pod: ClusterPod) -> bool:
    """Whether a pod can be asked."""
    return pod.state is WorkerState.READY and pod.url is not None


class PodMetrics:
    """Scrapes (`Metrics`). Several gateways count as one."""

    def __init__(self, slo: SloSpec, clock: Clock, session: aiohttp.ClientSession) -> None:
        self._clock, self._session = clock, session
        self._gateways = SummedScrapes(gateway_view.RECEIVED)
        self._gateway_view = GatewayView(slo)
        self._views: dict[str, WorkerView] = {}

    async def look(self, gateways: Sequence[ClusterPod], workers: Sequence[ClusterPod], now_s: float) -> None:
        serving = [pod for pod in workers if is_serving(pod)]
        for pod in serving:
            self._views.setdefault(pod.uid, WorkerView(now_s))
        for gone in self._views.keys() - {pod.uid for pod in workers}:
            del self._views[gone]
        heard, _ = await asyncio.gather(
            asyncio.gather(*map(self._read_gateway, filter(is_serving, gateways))),
            asyncio.gather(*map(self._read_worker, serving)),
        )
        self._gateways.only(pod.uid for pod in gateways)
        if heard and all(heard):  # else the sum lacks one, which would look like less demand: it grows old instead
            self._gateway_view.read(self._clock.now_s(), self._gateways.together())

    def signals(
        self, component: str, ready: Sequence[ClusterPod], *, interval_s: float, lead_time_s: float, now_s: float
    ) -> dict[Signal, Sample]:
        views = [self._views[pod.uid] for pod in ready if pod.uid in self._views]
        gateway = self._gateway_view.signals(now_s, interval_s)
        return pool_signals(views, gateway, lead_time_s=lead_time_s, now_s=now_s)

    def gauge(self, pod: ClusterPod, name: str) -> float:
        view = self._views.get(pod.uid)
        return view.value(name) if view is not None else 0.0

    def totals(self) -> Mapping[str, float]:
        return self._gateway_view.totals()

    async def _read_gateway(self, pod: ClusterPod) -> bool:
        """Ask it. Returns: whether it answered."""
        said = await self._scrape(pod, gateway_view.WANTED)
        self._gateways.take(pod.uid, said)
        return bool(said.series)

    async def _read_worker(self, pod: ClusterPod) -> None:
        said = await self._scrape(pod, worker_view.WANTED)
        self._views[pod.uid].read(self._clock.now_s(), said)

    async def _scrape(self, pod: ClusterPod, wanted: frozenset[str]) -> Scrape:
        assert pod.url is not None
        text = await scrape(self._session, pod.url)
        return parse_exposition(text, wanted) if text is not None else Scrape()
