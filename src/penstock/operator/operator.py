"""The operator: watches our custom resources and all that belongs to them, and writes what is missing.

Level-triggered: whatever happened to a resource, or to something that it owns, it is looked at as a whole, against
what `desired` says; so a restart, a lost event or a hand that deleted something are one case. It keeps no state that
counts: kill it anywhere, and the next one goes on. A write that fails is tried again later, and later still.

`spec.replicas` of a pool is written once, when a pool has none; from then on it belongs to whoever owns the scale.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiohttp
import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.types import PatchType
from pydantic import ValidationError

from penstock.errors import InputError
from penstock.hardware.profiled import with_profile, with_profiles
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Mirror, Object, key_of
from penstock.messages.pool_spec import PoolBody
from penstock.messages.spec import DeploymentBody, InferenceDeployment, Metadata
from penstock.operator.conditions import deployment_status, pool_status
from penstock.operator.contention import Contention
from penstock.operator.desired.deployment import deployment_objects
from penstock.operator.desired.pool import pool_objects
from penstock.operator.objects import API_VERSION, COMPONENT_LABEL, DEPLOYMENT_LABEL, MANAGED_BY, selector_labels
from penstock.operator.owners import HPA, POLICY, SCALED_OBJECT
from penstock.operator.plan import ObjectKey, Taken, digest_of, owns
from penstock.operator.queue import WorkQueue
from penstock.operator.reachable import Unreachable, asks_external, hpa_of, made_blindly, until_reachable
from penstock.operator.scale_down import ScaleDown
from penstock.operator.second_owners import SecondOwners
from penstock.operator.settings import OperatorSettings
from penstock.operator.writer import OPTIONAL, Contested, Named, Writer

log = logging.getLogger(__name__)

FIRST_REPLICAS = "penstock-first-replicas"  # a field manager of its own: what it wrote is nobody's to take back
_WORKERS = 8  # resources that are looked at at a time
_OURS: Mapping[str, str | None] = {DEPLOYMENT_LABEL: None}
_PARENTS = ("InferenceDeployment", "ComponentPool", "ScalingPolicy")
_SCALERS = ("HorizontalPodAutoscaler", "ScaledObject")  # everybody's: one of others may be a second owner
_CHILDREN = (
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    *OPTIONAL,
)


class Operator:
    """One cluster's, or one namespace's.

    Args:
        session: by which pods are asked.
        namespace: watch this one only; None: all.
    """

    def __init__(
        self,
        client: AsyncClient,
        session: aiohttp.ClientSession,
        settings: OperatorSettings,
        *,
        namespace: str | None = None,
    ) -> None:
        self._client = client
        self._scale_down = ScaleDown(client, session)
        self._settings = settings
        self._queue: WorkQueue[Named] = WorkQueue()
        self._said: Contention[Named] = Contention()

        def mirror(api_version: str, kind: str, labels: Mapping[str, str | None]) -> Mirror:
            return Mirror(
                client,
                kind_of(api_version, kind),
                namespace=namespace,
                labels=labels,
                changed=self._changed,
                index=_component_of if kind == "Pod" else _owner_of,
            )

        self._deployments = mirror(API_VERSION, "InferenceDeployment", {})
        self._pools = mirror(API_VERSION, "ComponentPool", {})
        self._pods = mirror("v1", "Pod", _OURS)
        self._children = {of: mirror(*of, {} if of[1] in _SCALERS else _OURS) for of in _CHILDREN}
        self._children[API_VERSION, "ComponentPool"] = self._pools
        self._policies = mirror(API_VERSION, "ScalingPolicy", {})
        scalers = {
            HPA: self._children["autoscaling/v2", HPA],
            SCALED_OBJECT: self._children["keda.sh/v1alpha1", SCALED_OBJECT],
            POLICY: self._policies,
        }
        self._second = SecondOwners(client, self._pools, self._children["apps/v1", "Deployment"], scalers)
        self._writer = Writer(client, self._children)

    async def run(self) -> None:
        """Reconcile for ever."""
        watched = (self._deployments, self._pools, self._pods, self._policies)
        mirrors = [*watched, *(self._children[of] for of in _CHILDREN)]
        async with asyncio.TaskGroup() as group:
            for one in mirrors:
                group.create_task(one.run())
            needed = [one for of, one in self._children.items() if of not in OPTIONAL]
            while not all(one.listed for one in (self._deployments, self._pods, *needed)):  # noqa: ASYNC110 - once
                await asyncio.sleep(0.1)
            log.info("%d deployments, %d pools", len(self._deployments), len(self._pools))
            for _ in range(_WORKERS):
                group.create_task(self._work())

    # --- what is to be looked at

    def _changed(self, things: list[Object]) -> None:
        for thing in things:
            for named in _parents(thing):
                self._queue.add(named)
            for named in self._second.touched(thing):
                self._queue.add(named)

    async def _work(self) -> None:
        while True:
            named = await self._queue.take()
            try:
                await self._reconcile(named)
            except asyncio.CancelledError:
                raise
            except (ApiError, httpx2.HTTPError, OSError) as error:
                said = error.status.message if isinstance(error, ApiError) else str(error) or type(error).__name__
                wait_s = self._queue.failed(named)
                log.warning("%s %s: %s; again in %g s", named[0], "/".join(named[1]), said, wait_s)
            except Exception:
                self._queue.failed(named)
                log.exception("%s %s", named[0], "/".join(named[1]))
            else:
                self._queue.done(named)

    async def _reconcile(self, named: Named) -> None:
        kind, key = named
        mirrors = {"InferenceDeployment": self._deployments, "ComponentPool": self._pools, POLICY: self._policies}
        thing = mirrors[kind].get(key)
        if thing is None or thing["metadata"].get("deletionTimestamp"):
            self._writer.forget(named)
            self._said.forget(named)
            return  # what it owns goes with it: the API server's garbage collector does that
        if kind == "InferenceDeployment":
            await self._deployment(thing)
        elif kind == "ComponentPool":
            await self._pool(thing)
        else:
            await self._second.judge(thing)

    # --- the two kinds

    async def _deployment(self, thing: Object) -> None:
        namespace, name = key_of(thing)
        trouble = None
        try:
            body = with_profiles(DeploymentBody.model_validate(thing["spec"], by_alias=True, by_name=False))
            deployment = InferenceDeployment(
                api_version="penstock.dev/v1alpha1",
                kind="InferenceDeployment",
                metadata=Metadata(name=name),
                spec=body,
            )
            await self._writer.write(
                thing, deployment_objects(deployment, namespace=namespace, settings=self._settings)
            )
        except (ValidationError, InputError, Taken, Contested) as error:
            trouble = " ".join(str(error).split())
            if isinstance(error, Contested):
                self._queue.add_later(("InferenceDeployment", (namespace, name)), error.wait_s)
        pools = list(self._pools.indexed(thing["metadata"]["uid"]))
        await self._say(thing, deployment_status(thing, pools, trouble=trouble, now=_now()))

    async def _pool(self, thing: Object) -> None:
        namespace, name = key_of(thing)
        deployment = (thing["metadata"].get("labels") or {}).get(DEPLOYMENT_LABEL, name)
        trouble, again = None, None
        component = thing["spec"].get("component", {}).get("name", "")
        try:
            body = PoolBody.model_validate(thing["spec"], by_alias=True, by_name=False)
            if body.replicas is None:
                await self._client.patch(
                    kind_of(API_VERSION, "ComponentPool"),
                    name,
                    {"spec": {"replicas": body.wanted}},
                    namespace=namespace,
                    patch_type=PatchType.MERGE,
                    field_manager=FIRST_REPLICAS,
                )
                return  # the change comes back as an event
            filled = body.model_copy(update={"component": with_profile(body.model, body.component)})
            desired = pool_objects(name, namespace, deployment, filled, self._settings)
            await self._writer.write(thing, desired, before=partial(self._before, thing, body.wanted))
            await self._renew_hpa(desired, namespace)
        except (ValidationError, InputError, Taken, Contested, Unreachable) as error:
            trouble = " ".join(str(error).split())
            again = error if isinstance(error, Unreachable) else None
            if isinstance(error, Contested):
                self._queue.add_later(("ComponentPool", (namespace, name)), error.wait_s)
        second = await self._second.of_pool(thing)
        selector = selector_labels(deployment, component)
        pods = self._pods.indexed((namespace, deployment, component))
        status = pool_status(
            thing, self._live(thing), pods, selector=selector, trouble=trouble, second=second, now=_now()
        )
        await self._say(thing, status)
        if again is not None:
            raise again

    async def _before(self, pool: Object, wanted: int, key: ObjectKey) -> None:
        """Before its Deployment shrinks: see to it that the right pods go."""
        live = self._live(pool)
        if key[1] == "Deployment" and live is not None and (live["spec"].get("replicas") or 0) > wanted:
            pods = self._pods.indexed(_component_of(live))
            await self._scale_down.prepare(key_of(pool)[0], list(pods), wanted)

    def _live(self, pool: Object) -> Object | None:
        """Its Deployment, as it was seen last."""
        found = self._children["apps/v1", "Deployment"].get(key_of(pool))
        return found if found is not None and owns(pool, found) else None

    async def _renew_hpa(self, desired: tuple[dict[str, Any], ...], namespace: str) -> None:
        """Take away what KEDA made while it could not ask the planner. Raises: Unreachable."""
        for scaled in filter(asks_external, desired):
            name = hpa_of(scaled["metadata"]["name"])
            hpa = self._children["autoscaling/v2", "HorizontalPodAutoscaler"].get((namespace, name))
            if hpa is None or not made_blindly(hpa):
                continue
            await until_reachable(scaled)
            log.info("delete HorizontalPodAutoscaler %s/%s: KEDA made it without the planner's metric", namespace, name)
            await self._client.delete(kind_of("autoscaling/v2", "HorizontalPodAutoscaler"), name, namespace=namespace)

    # --- saying

    async def _say(self, thing: Object, status: dict[str, Any]) -> None:
        """Write the status, if it says anything new; not at once again, if somebody else says something else."""
        if thing.get("status") == status:
            return
        named, version, now_s = (
            (thing["kind"], key_of(thing)),
            int(thing["metadata"]["resourceVersion"]),
            time.monotonic(),
        )
        said = digest_of(_undated(status))
        if self._said.is_stale(named, said, version):
            return  # an event is on its way
        if (wait_s := self._said.wait_s(named, said, now_s)) > 0:
            self._queue.add_later(named, wait_s)
            return
        answer = await self._client.patch(
            type(thing).Status,  # type: ignore[attr-defined]
            named[1][1],
            {"status": status},
            namespace=named[1][0],
            patch_type=PatchType.MERGE,
            field_manager=MANAGED_BY,
        )
        self._said.wrote(named, said, int(answer["metadata"]["resourceVersion"]), now_s)


def _parents(thing: Object) -> Iterator[Named]:
    """Who is to be looked at when this has changed: itself, its owner, and for a pod the pool that selects it."""
    namespace, name = key_of(thing)
    kind = getattr(type(thing), "_api_info", None)
    own = kind.resource.kind if kind is not None else thing.get("kind")
    if own in _PARENTS:
        yield own, (namespace, name)
    for reference in thing["metadata"].get("ownerReferences") or ():
        if reference["kind"] in _PARENTS and reference["apiVersion"].startswith("penstock.dev/"):
            yield reference["kind"], (namespace, reference["name"])
        if reference["kind"] == "ScaledObject":  # what KEDA made of ours, which has the pool's name
            yield "ComponentPool", (namespace, reference["name"])
    if own == "Pod":
        yield "ComponentPool", (namespace, _pool_of(thing))


def _pool_of(pod: Object) -> str:
    """A pod's pool, by its ReplicaSet's name: `POOL-HASH`."""
    for reference in pod["metadata"].get("ownerReferences") or ():
        if reference["kind"] == "ReplicaSet":
            return str(reference["name"]).rpartition("-")[0]
    return ""


def _owner_of(thing: Object) -> str | None:
    """The uid of what controls it."""
    references = thing["metadata"].get("ownerReferences") or ()
    return next((each["uid"] for each in references if each.get("controller")), None)


def _component_of(thing: Object) -> tuple[str, str, str]:
    """Namespace, deployment and component."""
    labels = thing["metadata"].get("labels") or {}
    return key_of(thing)[0], labels.get(DEPLOYMENT_LABEL, ""), labels.get(COMPONENT_LABEL, "")


def _undated(status: Mapping[str, Any]) -> dict[str, Any]:
    """Without since when each condition holds."""
    conditions = [{**each, "lastTransitionTime": None} for each in status["conditions"]]
    return {**status, "conditions": conditions}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
