"""The world of processes that somebody else runs: observes a gateway and workers by URL, and changes nothing.

What the scale asks for is taken to be what serves. A worker that does not answer its health check is not ready, and is
asked again every second.
"""

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp

from penstock.autoscale.policies import policy_for
from penstock.clock import Clock
from penstock.control import gateway_view, worker_view
from penstock.control.exposition import Scrape, parse_exposition
from penstock.control.gateway_view import GatewayView
from penstock.control.health import is_healthy, scrape
from penstock.control.pool_signals import pool_signals
from penstock.control.slots import Slots
from penstock.control.worker_view import WorkerView
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation, PoolSeen, WorkerSeen
from penstock.messages.spec import DeploymentBody
from penstock.messages.worker import WorkerState


class Watched:
    """A gateway and its workers, as others run them.

    Args:
        workers: base URLs by component.
    """

    def __init__(
        self,
        spec: DeploymentBody,
        clock: Clock,
        session: aiohttp.ClientSession,
        *,
        gateway: str,
        workers: Mapping[str, Sequence[str]],
    ) -> None:
        self._spec, self._clock, self._session, self._gateway = spec, clock, session, gateway
        self._gateway_view = GatewayView(spec.slo)
        self._workers = {name: {url: WorkerView(clock.now_s()) for url in urls} for name, urls in workers.items()}
        self._healthy_since: dict[str, float] = {}
        self._interval_s = {pool.name: policy_for(spec, pool).interval_s for pool in spec.pools}

    async def observe(self, now_s: float) -> Observation:
        """Scrape everything at the same time."""
        await asyncio.gather(
            self._read_gateway(),
            *(self._read(url, view) for views in self._workers.values() for url, view in views.items()),
        )
        return Observation(
            time_s=now_s,
            pools=tuple(self._pool_seen(component.name, now_s) for component in self._spec.pools),
            totals=self._gateway_view.totals(),
        )

    async def act(self, decisions: Sequence[Decision]) -> None:
        """Advice only."""

    async def _read_gateway(self) -> None:
        found = await self._scrape(self._gateway, gateway_view.WANTED)
        self._gateway_view.read(self._clock.now_s(), found)

    async def _read(self, url: str, view: WorkerView) -> None:
        healthy, found = await asyncio.gather(is_healthy(self._session, url), self._scrape(url, worker_view.WANTED))
        if healthy:
            self._healthy_since.setdefault(url, self._clock.now_s())
        else:
            self._healthy_since.pop(url, None)
        view.read(self._clock.now_s(), found)

    async def _scrape(self, url: str, wanted: frozenset[str]) -> Scrape:
        text = await scrape(self._session, url)
        return parse_exposition(text, wanted) if text is not None else Scrape()

    def _pool_seen(self, name: str, now_s: float) -> PoolSeen:
        ready = {url: view for url, view in self._workers.get(name, {}).items() if url in self._healthy_since}
        startup = self._spec.component(name).engine.startup
        return PoolSeen(
            component=name,
            desired=len(ready),
            starting=0,
            ready=len(ready),
            draining=0,
            signals=pool_signals(
                list(ready.values()),
                self._gateway_view.signals(now_s, self._interval_s[name]),
                lead_time_s=Slots(startup).lead_time_s,  # nobody here sees a start: as the spec has it
                now_s=now_s,
            ),
            workers=tuple(
                WorkerSeen(
                    id=url,
                    state=WorkerState.READY,
                    since_s=min(self._healthy_since[url], now_s),
                    running=int(view.value(worker_view.RUNNING)),
                    queue=int(view.value(worker_view.WAITING)),
                    kv_usage=view.value(worker_view.KV_USAGE),
                )
                for url, view in ready.items()
            ),
        )
