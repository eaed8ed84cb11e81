"""The planner of a cluster: one control loop for each InferenceDeployment that has a pool by planner.

A deployment whose spec changes gets a new loop, whose policies begin anew; one that goes takes its loop with it. A loop
that fails is started again, and takes no other with it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from lightkube import AsyncClient
from pydantic import ValidationError

from penstock.autoscale.policies import policy_for
from penstock.clock import Clock
from penstock.control.clocks import MonotonicClock
from penstock.control.cluster_world import ClusterWorld
from penstock.control.keda_counts import KedaCounts
from penstock.control.loop import Decisions, Listener, in_thread, run
from penstock.control.pod_metrics import Metrics
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
        metrics: of a deployment, by its namespace and name.
        listeners: of a deployment's loop, by its namespace and name.
        dry_run: advise only.
        for_keda: where counts are left for KEDA to ask; None: it cannot.
    """

    def __init__(
        self,
        client: AsyncClient,
        metrics: Callable[[Key, DeploymentBody, Clock], Metrics],
        *,
        namespace: str | None,
        listeners: Callable[[Key], list[Listener]],
        dry_run: bool = False,
        for_keda: KedaCounts | None = None,
    ) -> None:
        self._client, self._metrics = client, metrics
        self._listeners, self._dry_run, self._for_keda = listeners, dry_run, for_keda

        def mirror(api_version: str, kind: str) -> Mirror:
            labels = {} if kind == "InferenceDeployment" else {DEPLOYMENT_LABEL: None}
            return Mirror(
                client, kind_of(api_version, kind), namespace=namespace, labels=labels, changed=lambda _: None
            )

        self._deployments = mirror(_API, "InferenceDeployment")
        self._pools = mirror(_API, "ComponentPool")
        self._pods = mirror("v1", "Pod")
        self._loops: dict[Key, tuple[int, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Plan for ever."""
        mirrors = (self._deployments, self._pools, self._pods)
        async with asyncio.TaskGroup() as group:
            for one in mirrors:
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
        """Begin and end loops, so that there is one for each deployment as it is now."""
        wanted = {key_of(thing): thing for thing in self._deployments if not thing["metadata"].get("deletionTimestamp")}
        if self._for_keda is not None:
            self._for_keda.only(map(key_of, self._pools))
        for key in list(self._loops):
            thing = wanted.get(key)
            if thing is None or thing["metadata"]["generation"] != self._loops[key][0]:
                self._loops.pop(key)[1].cancel()
        for key, thing in wanted.items():
            if key not in self._loops:
                self._loops[key] = thing["metadata"]["generation"], asyncio.create_task(self._plan(key, thing))

    async def _plan(self, key: Key, thing: Object) -> None:
        try:
            spec = DeploymentBody.model_validate(thing["spec"], by_alias=True, by_name=False)
        except ValidationError as error:
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
