"""The world of a deployment in a cluster: sees its pods and asks them, and writes the scale of its pools.

Pods and pools come from mirrors that somebody keeps true; metrics are asked of the pods themselves, once a second, as
on one machine. Several gateways count as one. What a new replica takes to serve is learnt from the pods that became
ready, apart for those that found a node and those that waited for one.

It writes only what the planner owns, and only if the pool still says so; every change is an Event with its reason.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.types import PatchType

from penstock.autoscale.policies import policy_for
from penstock.clock import Clock
from penstock.control import gateway_view, worker_view
from penstock.control.cluster_pods import ClusterPod, parse_pod
from penstock.control.exposition import Scrape, parse_exposition
from penstock.control.gateway_view import GatewayView
from penstock.control.health import scrape
from penstock.control.pool_pods import PoolPods
from penstock.control.summed_scrapes import SummedScrapes
from penstock.kubernetes.events import event_about
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Object, key_of
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation
from penstock.messages.scaling_spec import PlannerScaling
from penstock.messages.spec import DeploymentBody
from penstock.messages.worker import Role, WorkerState

log = logging.getLogger(__name__)

COMPONENT_LABEL = "penstock.dev/component"
PORT = 8000
MANAGER = "penstock-planner"
_POOL = kind_of("penstock.dev/v1alpha1", "ComponentPool")
_EVENT = kind_of("v1", "Event")


class ClusterWorld:
    """One InferenceDeployment (`control.loop.World`).

    Args:
        pods: those of this deployment, now. pools: its ComponentPools, now.
        dry_run: advise only: Events say what would be done, and nothing is.
    """

    def __init__(
        self,
        spec: DeploymentBody,
        clock: Clock,
        session: aiohttp.ClientSession,
        client: AsyncClient,
        *,
        pods: Callable[[], Iterable[Object]],
        pools: Callable[[], Iterable[Object]],
        dry_run: bool = False,
    ) -> None:
        self._spec, self._clock, self._session, self._client = spec, clock, session, client
        self._pods, self._pools, self._dry_run = pods, pools, dry_run
        self._gateways = SummedScrapes(gateway_view.RECEIVED)
        self._gateway_view = GatewayView(spec.slo)
        self._pool_pods = {pool.name: PoolPods(pool.name, pool.engine.startup) for pool in spec.pools}
        self._interval_s = {pool.name: policy_for(spec, pool).interval_s for pool in spec.pools}
        self._frontends = {part.name for part in spec.components if part.role is Role.FRONTEND}
        self._owned = {pool.name for pool in spec.pools if isinstance(pool.autoscaling, PlannerScaling)}

    async def observe(self, now_s: float) -> Observation:
        """Look at the pods, and ask those that serve."""
        now = datetime.now(UTC)
        found = [parse_pod(pod, component_label=COMPONENT_LABEL, port=PORT, now=now) for pod in self._pods()]
        pods = [pod for pod in found if pod is not None]
        for name, known in self._pool_pods.items():
            known.saw([pod for pod in pods if pod.component == name], now_s)
        serving = [pod for pod in pods if pod.state is WorkerState.READY and pod.url is not None]
        gateways = [pod for pod in serving if pod.component in self._frontends]
        workers = [pod for pod in serving if pod.component not in self._frontends]
        await asyncio.gather(*map(self._read_gateway, gateways), *map(self._read_worker, workers))
        self._gateways.only(pod.uid for pod in pods if pod.component in self._frontends)
        self._gateway_view.read(self._clock.now_s(), self._gateways.together())
        wanted = {name: _replicas(pool) for name, pool in self._by_component().items()}
        return Observation(
            time_s=now_s,
            pools=tuple(
                known.seen(wanted.get(name), self._gateway_view.signals(now_s, self._interval_s[name]), now_s)
                for name, known in self._pool_pods.items()
            ),
            totals=self._gateway_view.totals(),
        )

    async def act(self, decisions: Sequence[Decision]) -> None:
        """Write the scales that change, each with its Event. One that fails is decided again at its next turn."""
        pools = self._by_component()
        for decision in decisions:
            pool = pools.get(decision.component)
            if pool is None or decision.desired == decision.current or not self._is_ours(pool):
                continue
            try:
                await self._scale(pool, decision)
            except (ApiError, httpx2.HTTPError, OSError) as error:
                said = error.status.message if isinstance(error, ApiError) else type(error).__name__
                log.warning("scaling %s to %d: %s", pool["metadata"]["name"], decision.desired, said)

    # --- seeing

    async def _read_gateway(self, pod: ClusterPod) -> None:
        self._gateways.take(pod.uid, await self._scrape(pod, gateway_view.WANTED))

    async def _read_worker(self, pod: ClusterPod) -> None:
        known = self._pool_pods.get(pod.component)
        view = known.view(pod) if known is not None else None
        if view is not None:
            view.read(self._clock.now_s(), await self._scrape(pod, worker_view.WANTED))

    async def _scrape(self, pod: ClusterPod, wanted: frozenset[str]) -> Scrape:
        assert pod.url is not None
        text = await scrape(self._session, pod.url)
        return parse_exposition(text, wanted) if text is not None else Scrape()

    def _by_component(self) -> dict[str, Object]:
        return {pool["spec"]["component"]["name"]: pool for pool in self._pools()}

    # --- acting

    def _is_ours(self, pool: Object) -> bool:
        """By the pool as it is now: its owner may have changed since the decision."""
        component = pool["spec"]["component"]
        return component["name"] in self._owned and (component.get("autoscaling") or {}).get("by") == "planner"

    async def _scale(self, pool: Object, decision: Decision) -> None:
        namespace, name = key_of(pool)
        if not self._dry_run:
            await self._client.patch(
                _POOL.Scale,
                name,
                {"spec": {"replicas": decision.desired}},
                namespace=namespace,
                patch_type=PatchType.MERGE,
                field_manager=MANAGER,
            )
        log.info("%s: %s", name, decision.reason)
        await self._client.create(
            _EVENT.from_dict(event_of(pool, decision, dry_run=self._dry_run, now=datetime.now(UTC)))
        )


def event_of(pool: Object, decision: Decision, *, dry_run: bool, now: datetime) -> dict[str, Any]:
    """An Event with the decision's sentence."""
    verb = "would scale" if dry_run else "scaled"
    return event_about(
        *("penstock.dev/v1alpha1", "ComponentPool", pool),
        reason="Advised" if dry_run else "Scaled",
        message=f"{verb} from {decision.current} to {decision.desired}: {decision.reason}",
        by=MANAGER,
        now=now,
    )


def _replicas(pool: Object) -> int:
    return int(pool["spec"].get("replicas") or 0)
