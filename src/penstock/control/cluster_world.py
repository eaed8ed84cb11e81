"""The world of a deployment in a cluster: sees its pods and their metrics, and writes the scale of its pools.

Pods and pools come from mirrors that somebody keeps true, metrics from the pods themselves (`pod_metrics`) or from a
Prometheus (`prometheus_metrics`). What a new replica takes to serve is learnt from the pods that became ready, apart
for those that found a node and those that waited for one.

It writes only what the planner owns, and only if the pool still says so; every change is an Event with its reason.
Where KEDA owns the scale and asks the planner, the count is left for KEDA, and counts as what is coming.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.types import PatchType

from penstock.autoscale.policies import policy_for
from penstock.control.cluster_pods import parse_pod
from penstock.control.keda_counts import KedaCounts
from penstock.control.pod_metrics import Metrics
from penstock.control.pool_pods import PoolPods
from penstock.kubernetes.events import event_about
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Object, key_of
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation
from penstock.messages.scaling_spec import planner_of
from penstock.messages.spec import DeploymentBody
from penstock.messages.worker import Role

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
        for_keda: what KEDA is told; None where it cannot ask.
    """

    def __init__(
        self,
        spec: DeploymentBody,
        metrics: Metrics,
        client: AsyncClient,
        *,
        pods: Callable[[], Iterable[Object]],
        pools: Callable[[], Iterable[Object]],
        dry_run: bool = False,
        for_keda: KedaCounts | None = None,
    ) -> None:
        self._for_keda = for_keda
        self._spec, self._metrics, self._client = spec, metrics, client
        self._pods, self._pools, self._dry_run = pods, pools, dry_run
        self._pool_pods = {
            pool.name: PoolPods(pool.name, pool.engine.startup, metrics, interval_s=policy_for(spec, pool).interval_s)
            for pool in spec.pools
        }
        self._frontends = {part.name for part in spec.components if part.role is Role.FRONTEND}
        self._owners = {pool.name: pool.autoscaling.by for pool in spec.pools if planner_of(pool.autoscaling)}

    async def observe(self, now_s: float) -> Observation:
        """Look at the pods, and ask those that serve."""
        now = datetime.now(UTC)
        found = [parse_pod(pod, component_label=COMPONENT_LABEL, port=PORT, now=now) for pod in self._pods()]
        pods = [pod for pod in found if pod is not None]
        for name, known in self._pool_pods.items():
            known.saw([pod for pod in pods if pod.component == name], now_s)
        gateways = [pod for pod in pods if pod.component in self._frontends]
        workers = [pod for pod in pods if pod.component not in self._frontends]
        await self._metrics.look(gateways, workers, now_s)
        wanted = {name: self._wanted(name, pool) for name, pool in self._by_component().items()}
        return Observation(
            time_s=now_s,
            pools=tuple(known.seen(wanted.get(name), now_s) for name, known in self._pool_pods.items()),
            totals=self._metrics.totals(),
        )

    async def act(self, decisions: Sequence[Decision]) -> None:
        """Write the scales that change, each with its Event. One that fails is decided again at its next turn."""
        pools = self._by_component()
        for decision in decisions:
            pool = pools.get(decision.component)
            if pool is None or not self._is_ours(pool):
                continue
            if self._owners[decision.component] == "keda" and self._for_keda is not None and not self._dry_run:
                self._for_keda.want(key_of(pool), decision.desired)
            if decision.desired == decision.current:
                continue
            try:
                await self._scale(pool, decision)
            except (ApiError, httpx2.HTTPError, OSError) as error:
                said = error.status.message if isinstance(error, ApiError) else type(error).__name__
                log.warning("scaling %s to %d: %s", pool["metadata"]["name"], decision.desired, said)

    # --- seeing

    def _by_component(self) -> dict[str, Object]:
        return {pool["spec"]["component"]["name"]: pool for pool in self._pools()}

    def _wanted(self, name: str, pool: Object) -> int:
        """The count that is coming: the scale's, or what KEDA was told and has yet to make so."""
        there = _replicas(pool)
        if self._owners.get(name) != "keda" or self._for_keda is None or self._dry_run:
            return there
        self._for_keda.seen(key_of(pool), there)
        told = self._for_keda.desired(key_of(pool))
        return there if told is None else told

    # --- acting

    def _is_ours(self, pool: Object) -> bool:
        """By the pool as it is now: its owner may have changed since the decision."""
        component = pool["spec"]["component"]
        by = (component.get("autoscaling") or {}).get("by")
        return by is not None and self._owners.get(component["name"]) == by

    async def _scale(self, pool: Object, decision: Decision) -> None:
        namespace, name = key_of(pool)
        for_keda = self._owners[decision.component] == "keda"
        if not self._dry_run and not for_keda:
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
            _EVENT.from_dict(event_of(pool, decision, dry_run=self._dry_run, for_keda=for_keda, now=datetime.now(UTC)))
        )


def event_of(
    pool: Object, decision: Decision, *, dry_run: bool, for_keda: bool = False, now: datetime
) -> dict[str, Any]:
    """An Event with the decision's sentence."""
    verb = "would scale" if dry_run else "asked KEDA to scale" if for_keda else "scaled"
    return event_about(
        *("penstock.dev/v1alpha1", "ComponentPool", pool),
        reason="Advised" if dry_run else "Asked" if for_keda else "Scaled",
        message=f"{verb} from {decision.current} to {decision.desired}: {decision.reason}",
        by=MANAGER,
        now=now,
    )


def _replicas(pool: Object) -> int:
    return int(pool["spec"].get("replicas") or 0)
