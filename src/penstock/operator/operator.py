"""The operator: watches our custom resources and all that belongs to them, and writes what is missing.

Level-triggered: whatever happened to a resource, or to something that it owns, it is looked at as a whole, against
what `desired` says; so a restart, a lost event or a hand that deleted something are one case. It keeps no state of its
own: kill it anywhere, and the next one goes on. A write that fails is tried again later, and later still.

`spec.replicas` of a pool is written once, when a pool has none; from then on it belongs to whoever owns the scale.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.types import CascadeType, PatchType
from pydantic import ValidationError

from penstock.errors import InputError
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Key, Mirror, Object, key_of
from penstock.messages.pool_spec import PoolBody
from penstock.messages.spec import DeploymentBody, InferenceDeployment, Metadata
from penstock.operator.conditions import deployment_status, pool_status
from penstock.operator.desired.deployment import deployment_objects
from penstock.operator.desired.pool import pool_objects
from penstock.operator.objects import API_VERSION, DEPLOYMENT_LABEL, MANAGED_BY, selector_labels
from penstock.operator.plan import Step, Taken, object_key, owns, steps
from penstock.operator.queue import WorkQueue
from penstock.operator.reachable import Unreachable, asks_external, hpa_of, made_blindly, until_reachable
from penstock.operator.settings import OperatorSettings

log = logging.getLogger(__name__)

FIRST_REPLICAS = "penstock-first-replicas"  # a field manager of its own: what it wrote is nobody's to take back
_WORKERS = 8  # resources that are looked at at a time
_OURS: Mapping[str, str | None] = {DEPLOYMENT_LABEL: None}
_PARENTS = ("InferenceDeployment", "ComponentPool")
_OPTIONAL = (
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("azmonitoring.coreos.com/v1", "PodMonitor"),
)
_CHILDREN = (
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    *_OPTIONAL,
)

Named = tuple[str, Key]  # kind of parent, namespace and name


class Operator:
    """One cluster's, or one namespace's.

    Args:
        namespace: watch this one only; None: all.
    """

    def __init__(
        self,
        client: AsyncClient,
        settings: OperatorSettings,
        *,
        namespace: str | None = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._queue: WorkQueue[Named] = WorkQueue()

        def mirror(api_version: str, kind: str, labels: Mapping[str, str | None]) -> Mirror:
            return Mirror(client, kind_of(api_version, kind), namespace=namespace, labels=labels, changed=self._changed)

        self._deployments = mirror(API_VERSION, "InferenceDeployment", {})
        self._pools = mirror(API_VERSION, "ComponentPool", {})
        self._pods = mirror("v1", "Pod", _OURS)
        self._children = {of: mirror(*of, _OURS) for of in _CHILDREN}
        self._children[API_VERSION, "ComponentPool"] = self._pools

    async def run(self) -> None:
        """Reconcile for ever."""
        mirrors = [self._deployments, self._pools, self._pods, *(self._children[of] for of in _CHILDREN)]
        async with asyncio.TaskGroup() as group:
            for one in mirrors:
                group.create_task(one.run())
            needed = [one for of, one in self._children.items() if of not in _OPTIONAL]
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
        thing = (self._deployments if kind == "InferenceDeployment" else self._pools).get(key)
        if thing is None or thing["metadata"].get("deletionTimestamp"):
            return  # what it owns goes with it: the API server's garbage collector does that
        if kind == "InferenceDeployment":
            await self._deployment(thing)
        else:
            await self._pool(thing)

    # --- the two kinds

    async def _deployment(self, thing: Object) -> None:
        namespace, name = key_of(thing)
        trouble = None
        try:
            body = DeploymentBody.model_validate(thing["spec"], by_alias=True, by_name=False)
            deployment = InferenceDeployment(
                api_version="penstock.dev/v1alpha1",
                kind="InferenceDeployment",
                metadata=Metadata(name=name),
                spec=body,
            )
            await self._write(thing, deployment_objects(deployment, namespace=namespace, settings=self._settings))
        except (ValidationError, InputError, Taken) as error:
            trouble = " ".join(str(error).split())
        pools = [pool for pool in self._pools if owns(thing, pool)]
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
            desired = pool_objects(name, namespace, deployment, body, self._settings)
            await self._write(thing, desired)
            await self._renew_hpa(desired, namespace)
        except (ValidationError, InputError, Taken, Unreachable) as error:
            trouble = " ".join(str(error).split())
            again = error if isinstance(error, Unreachable) else None
        selector = selector_labels(deployment, component)
        pods = [pod for pod in self._pods if _selected(pod, namespace, selector)]
        there = self._children["apps/v1", "Deployment"].get((namespace, name))
        owned = there if there is not None and owns(thing, there) else None
        status = pool_status(thing, owned, pods, selector=selector, trouble=trouble, now=_now())
        await self._say(thing, status)
        if again is not None:
            raise again

    # --- writing

    async def _write(self, owner: Object, desired: tuple[dict[str, Any], ...]) -> None:
        namespace = key_of(owner)[0]
        names = {object_key(thing) for thing in desired}
        live = [
            thing | {"apiVersion": of[0], "kind": of[1]}  # items of a list do not say it
            for of, mirror in self._children.items()
            for thing in map(dict, mirror)
            if key_of(thing)[0] == namespace and (owns(owner, thing) or (*of, key_of(thing)[1]) in names)
        ]
        known = {object_key(thing) for thing in live}
        # What carries no label of ours is in no mirror, and may have the name all the same.
        strangers = [await self._find(thing, namespace) for thing in desired if object_key(thing) not in known]
        live += [thing for thing in strangers if thing is not None]
        for step in steps(owner, desired, live):
            await self._do(step, namespace)

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

    async def _find(self, thing: dict[str, Any], namespace: str) -> dict[str, Any] | None:
        """What has the name of an object that we would make."""
        of = thing["apiVersion"], thing["kind"]
        try:
            found = await self._client.get(kind_of(*of), thing["metadata"]["name"], namespace=namespace)
        except httpx2.HTTPStatusError as error:  # an ApiError, or the bare answer where nobody serves the kind
            if error.response.status_code == 404:
                return None
            raise
        return dict(found) | {"apiVersion": of[0], "kind": of[1]}

    async def _do(self, step: Step, namespace: str) -> None:
        thing = step.thing
        of, name = (thing["apiVersion"], thing["kind"]), thing["metadata"]["name"]
        kind = kind_of(*of)
        if of in _OPTIONAL and not self._children[of].listed:
            if of[1] == "PodMonitor":  # without it nothing is measured through Prometheus, and everything else works
                log.info("no PodMonitor %s/%s: the cluster does not know %s", namespace, name, of[0])
                return
            raise InputError(
                f"{of[1]} {name}", f"the cluster does not know {of[0]}", "install KEDA, or name another owner"
            )
        if step.verb == "apply":
            await until_reachable(thing)
        log.info("%s %s %s/%s", step.verb, of[1], namespace, name)
        if step.verb == "delete":
            try:
                await self._client.delete(kind, name, namespace=namespace, cascade=CascadeType.BACKGROUND)
            except ApiError as error:
                if error.status.code != 404:
                    raise
            return
        await self._client.patch(
            kind, name, thing, namespace=namespace, patch_type=PatchType.APPLY, field_manager=MANAGED_BY, force=True
        )

    async def _say(self, thing: Object, status: dict[str, Any]) -> None:
        """Write the status, if it says anything new."""
        if thing.get("status") == status:
            return
        namespace, name = key_of(thing)
        kind = type(thing)
        await self._client.patch(
            kind.Status,  # type: ignore[attr-defined]
            name,
            {"status": status},
            namespace=namespace,
            patch_type=PatchType.MERGE,
            field_manager=MANAGED_BY,
        )


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


def _selected(pod: Object, namespace: str, selector: Mapping[str, str]) -> bool:
    meta = pod["metadata"]
    return meta.get("namespace") == namespace and selector.items() <= (meta.get("labels") or {}).items()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
