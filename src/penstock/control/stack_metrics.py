"""What the pods of others say, each in its stack's names, asked at every look (`pod_metrics.Metrics`).

Without a gateway of ours the engines' own counters, or those of Dynamo's frontends, are read as a gateway's (`stacks`).
"""

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp

from penstock.clock import Clock
from penstock.control import gateway_view
from penstock.control.cluster_pods import ClusterPod
from penstock.control.exposition import Scrape, parse_exposition
from penstock.control.gateway_view import GatewayView
from penstock.control.health import scrape
from penstock.control.pod_metrics import is_serving
from penstock.control.pool_signals import pool_signals
from penstock.control.stacks import DYNAMO_FRONTEND, DYNAMO_WORKER, SGLANG, VLLM, Names, Translator
from penstock.control.summed_scrapes import SummedScrapes
from penstock.control.worker_view import WorkerView
from penstock.messages.observation import Sample, Signal
from penstock.messages.spec import SloSpec

_STACKS: Mapping[str, tuple[Names, Names | None]] = {
    "vllm": (VLLM, None),
    "sglang": (SGLANG, None),
    "dynamo": (DYNAMO_WORKER, DYNAMO_FRONTEND),
}


class StackMetrics:
    """One target's. Args: source: the stack, by its name in a ScalingPolicy."""

    def __init__(self, source: str, slo: SloSpec, clock: Clock, session: aiohttp.ClientSession) -> None:
        self._engines, self._front = _STACKS[source]
        self._clock, self._session = clock, session
        self._gateways = SummedScrapes(gateway_view.RECEIVED)
        self._gateway_view = GatewayView(slo)
        self._views: dict[str, WorkerView] = {}
        self._translators: dict[str, Translator] = {}

    async def look(self, gateways: Sequence[ClusterPod], workers: Sequence[ClusterPod], now_s: float) -> None:
        """Read all. Args: gateways: Dynamo's frontends; none, where the engines themselves are read as such."""
        counting = gateways if self._front is not None else workers
        there = {pod.uid for pod in (*gateways, *workers)}
        self._translators = {uid: one for uid, one in self._translators.items() if uid in there}
        self._views = {uid: view for uid, view in self._views.items() if uid in there}
        fronts, engines = await asyncio.gather(
            asyncio.gather(*map(self._read_front, filter(is_serving, gateways))),
            asyncio.gather(*(self._read_engine(pod, now_s) for pod in workers if is_serving(pod))),
        )
        heard = engines if self._front is None else fronts
        self._gateways.only(pod.uid for pod in counting)
        if heard and all(heard):  # else the sum lacks one, which would look like less demand: it grows old instead
            self._gateway_view.read(self._clock.now_s(), self._gateways.together())

    def signals(
        self, component: str, ready: Sequence[ClusterPod], *, interval_s: float, lead_time_s: float, now_s: float
    ) -> dict[Signal, Sample]:
        """As of one pool: there is but one."""
        views = [self._views[pod.uid] for pod in ready if pod.uid in self._views]
        return pool_signals(views, self._gateway_view.signals(now_s, interval_s), lead_time_s=lead_time_s, now_s=now_s)

    def gauge(self, pod: ClusterPod, name: str) -> float:
        """Of a worker; 0, if there is none."""
        view = self._views.get(pod.uid)
        return view.value(name) if view is not None else 0.0

    def totals(self) -> Mapping[str, float]:
        """Of all that count requests."""
        return self._gateway_view.totals()

    async def _read_engine(self, pod: ClusterPod, now_s: float) -> bool:
        """Returns: whether it answered."""
        said = await self._ask(pod, self._engines)
        self._views.setdefault(pod.uid, WorkerView(now_s)).read(self._clock.now_s(), said)
        if self._front is None:
            self._gateways.take(pod.uid, said)
        return bool(said.series)

    async def _read_front(self, pod: ClusterPod) -> bool:
        assert self._front is not None
        said = await self._ask(pod, self._front)
        self._gateways.take(pod.uid, said)
        return bool(said.series)

    async def _ask(self, pod: ClusterPod, names: Names) -> Scrape:
        assert pod.url is not None
        text = await scrape(self._session, pod.url)
        if text is None:
            return Scrape()
        translator = self._translators.setdefault(pod.uid, Translator(names))
        return translator.ours(parse_exposition(text, names.wanted))
