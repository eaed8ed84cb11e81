"""The planner of a cluster: a loop for each InferenceDeployment that has a pool by planner, and for each ScalingPolicy.

One whose spec changes gets a new loop, whose policies begin anew; one that goes takes its loop with it. A loop that
fails is started again, and takes no other with it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

import aiohttp
from lightkube import AsyncClient
from pydantic import ValidationError

from penstock.autoscale.policies import policy_for
from penstock.clock import Clock
from penstock.control.clocks import MonotonicClock
from penstock.control.cluster_world import ClusterWorld
from penstock.control.keda_counts import KedaCounts
from penstock.control.loop import Decisions, Listener, in_thread, run
from penstock.control.pod_metrics import Metrics
from penstock.control.policy_planner import plan_policy
from penstock.errors import InputError
from penstock.hardware.profiled import with_profiles
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Key, Mirror, Object, key_of
from penstock.messages.scaling_spec import planner_of
from penstock.messages.spec import DeploymentBody

log = logging.getLogger(__name__)

DEPLOYMENT_LABEL = "penstock.dev/deployment"
_API = "penstock.dev/v1alpha1"
_LOOK_S = 1.0
_AGAIN_S = 10.0  # until a loop that failed begins anew


class ClusterPlanner:
    """All loops of a cluster, or of one namespace.

    Args:
        metrics: of a deployment, by its namespace and name. session: by which pods of policies are asked.
        listeners: of a loop, by namespace and name of a deployment; of a policy, by `scalingpolicies/NAME`.
        dry_run: advise only.
        for_keda: where counts are left for KEDA to ask; None: it cannot.
    """

    def __init__(
        self,
        client: AsyncClient,
        metrics: Callable[[Key, DeploymentBody, Clock], Metrics],
        session: aiohttp.ClientSession,
        *,
        namespace: str | None,
        listeners: Callable[[Key], list[Listener]],
        dry_run: bool = False,
        for_keda: KedaCounts | None = None,
    ) -> None:
        self._client, self._metrics, self._session = client, metrics, session
        self._listeners, self._dry_run, self._for_keda = listeners, dry_run, for_keda

        def mirror(api_version: str, kind: str) -> Mirror:
            labels = {DEPLOYMENT_LABEL: None} if kind in ("ComponentPool", "Pod") else {}
            return Mirror(
                client, kind_of(api_version, kind), namespace=namespace, labels=labels, changed=lambda _: None
            )

        self._deployments = mirror(_API, "InferenceDeployment")
        self._pools = mirror(_API, "ComponentPool")
        self._pods = mirror("v1", "Pod")
        self._policies = mirror(_API, "ScalingPolicy")
        self._loops: dict[tuple[str, Key], tuple[int, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Plan for ever."""
        mirrors = (self._deployments, self._pools, self._pods)
        async with asyncio.TaskGroup() as group:
            for one in (*mirrors, self._policies):
                group.create_task(one.run())
            try:
                while True:
                    if all(one.listed for one in mirrors):
                        self._look()
                    await asyncio.sleep(_LOOK_S)
            finally:
                for _, loop in self._loops.values():
                    loop.cancel()

    def _look(self) -> None:
        """Begin and end loops, so that there is one for each deployment and policy as it is now."""
        wanted = {
            (kind, key_of(thing)): thing
            for kind, mirror in (("InferenceDeployment", self._deployments), ("ScalingPolicy", self._policies))
            for thing in mirror
            if not thing["metadata"].get("deletionTimestamp")
        }
        if self._for_keda is not None:
            self._for_keda.only(map(key_of, self._pools))
        for named in list(self._loops):
            thing = wanted.get(named)
            if thing is None or thing["metadata"]["generation"] != self._loops[named][0]:
                self._loops.pop(named)[1].cancel()
        for (kind, key), thing in wanted.items():
            if (kind, key) not in self._loops:
                work = self._plan(key, thing) if kind == "InferenceDeployment" else self._plan_policy(key, thing)
                self._loops[kind, key] = thing["metadata"]["generation"], asyncio.create_task(work)

    async def _plan_policy(self, key: Key, thing: Object) -> None:
        namespace, name = key
        listeners = self._listeners((namespace, f"scalingpolicies/{name}"))
        while True:
            try:
                await plan_policy(
                    self._client,
                    self._session,
                    thing,
                    policy=lambda: self._policies.get(key),
                    listeners=listeners,
                    dry_run=self._dry_run,
                )
            except Exception:
                log.exception("planning %s", "/".join(key))
            await asyncio.sleep(_AGAIN_S)

    async def _plan(self, key: Key, thing: Object) -> None:
        try:
            spec = with_profiles(DeploymentBody.model_validate(thing["spec"], by_alias=True, by_name=False))
        except (ValidationError, InputError) as error:
            log.warning("%s: %s", "/".join(key), " ".join(str(error).split()))
            return  # a change of it begins anew
        ours = [pool for pool in spec.pools if planner_of(pool.autoscaling)]
        if not ours:
            return
        if self._for_keda is None and not self._dry_run and any(pool.autoscaling.by == "keda" for pool in ours):
            log.warning("%s: KEDA cannot ask for its pools: give --keda-listen", "/".join(key))
        while True:
            clock = MonotonicClock()
            world = ClusterWorld(
                spec,
                self._metrics(key, spec, clock),
                self._client,
                pods=lambda: self._of(self._pods, key),
                pools=lambda: self._of(self._pools, key),
                dry_run=self._dry_run,
                for_keda=self._for_keda,
            )
            log.info("planning %s", "/".join(key))
            try:
                decisions = Decisions({pool.name: policy_for(spec, pool) for pool in ours})
                await run(world, decisions, clock, self._listeners(key), decider=in_thread)
            except Exception:
                log.exception("planning %s", "/".join(key))
            await asyncio.sleep(_AGAIN_S)

    def _of(self, mirror: Mirror, key: Key) -> Iterable[Object]:
        namespace, name = key
        return (
            thing
            for thing in mirror
            if thing["metadata"].get("namespace") == namespace
            and (thing["metadata"].get("labels") or {}).get(DEPLOYMENT_LABEL) == name
        )
