"""Follows a deployment's EndpointSlices and ComponentPools in a cluster.

Each kind is listed, then watched from there. A watch that breaks is begun anew with a list, and so it is every few
minutes in any case, in case an event was lost. While the API server does not answer, what was known last goes on: no
data is not an empty list.

Needs `list` and `watch` on both kinds in one namespace, and nothing else.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from pydantic import ValidationError

from penstock.gateway.endpoints import COMPONENT_LABEL, Component, Endpoint, Slice, records_of
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role, WorkerRecord

log = logging.getLogger(__name__)

DEPLOYMENT_LABEL = "penstock.dev/deployment"
RESYNC_S = 300  # a watch is ended by the server after this, and begun with a list
_RETRY_S = 1.0
_RETRY_MOST_S = 15.0
_SLICES = create_namespaced_resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
_POOLS = create_namespaced_resource("penstock.dev", "v1alpha1", "ComponentPool", "componentpools")

Kind = type[GenericNamespacedResource]
Object = Mapping[str, Any]


class ClusterDiscovery:
    """Watches the pods of one InferenceDeployment (`discovery.Discovery`)."""

    def __init__(self, deployment: str, namespace: str, client: AsyncClient) -> None:
        self._deployment = deployment
        self._namespace = namespace
        self._client = client
        self._objects: dict[Kind, dict[str, Object]] = {}  # by name; a kind is there once it was listed
        self._changed = asyncio.Event()

    async def watch(self) -> AsyncIterator[Sequence[WorkerRecord]]:
        tasks = [asyncio.create_task(self._follow(kind)) for kind in (_SLICES, _POOLS)]
        told: Sequence[WorkerRecord] | None = None
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if len(self._objects) < len(tasks):
                    continue  # half of it says nothing
                records = self._records()
                if records != told:
                    told = records
                    yield records
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _records(self) -> tuple[WorkerRecord, ...]:
        pools = (parse_component(pool) for pool in self._objects[_POOLS].values())
        slices = (parse_slice(piece) for piece in self._objects[_SLICES].values())
        components = {pool.name: pool for pool in pools if pool is not None}
        return records_of((piece for piece in slices if piece is not None), components)

    async def _follow(self, kind: Kind) -> None:
        """Keep the objects of a kind true, for ever."""
        wait_s = _RETRY_S
        while True:
            try:
                version = await self._list(kind)
                wait_s = _RETRY_S
                await self._watch(kind, version)
                continue
            except ApiError as error:
                if error.status.code == 410:
                    continue  # too long away: list anew
                trouble = error.status.message or str(error)
            except (httpx2.HTTPError, OSError) as error:
                trouble = f"{type(error).__name__}: {error}"
            log.warning("watching %s: %s; keeping the workers known so far", kind.__name__, " ".join(trouble.split()))
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _RETRY_MOST_S)

    async def _list(self, kind: Kind) -> str:
        found: dict[str, Object] = {}
        answer = self._client.list(kind, namespace=self._namespace, labels={DEPLOYMENT_LABEL: self._deployment})
        async for item in answer:
            found[item["metadata"]["name"]] = item
        self._objects[kind] = found
        self._changed.set()
        return answer.resourceVersion

    async def _watch(self, kind: Kind, version: str) -> None:
        """Until the server ends it."""
        events = self._client.watch(
            kind,
            namespace=self._namespace,
            labels={DEPLOYMENT_LABEL: self._deployment},
            server_timeout=RESYNC_S,
            resource_version=version,
        )
        async with asyncio.timeout(2 * RESYNC_S):  # a connection that died without a word
            async for change, item in events:
                name = item["metadata"]["name"]
                if change == "DELETED":
                    self._objects[kind].pop(name, None)
                else:
                    self._objects[kind][name] = item
                self._changed.set()


def parse_slice(document: Object) -> Slice | None:
    """An EndpointSlice; None, if it is of no component."""
    component = (document["metadata"].get("labels") or {}).get(COMPONENT_LABEL)
    if component is None:
        return None
    endpoints = []
    for item in document.get("endpoints") or ():
        conditions, target = item.get("conditions") or {}, item.get("targetRef") or {}
        addresses = item.get("addresses") or ()
        if target.get("kind") != "Pod" or not addresses:
            continue
        endpoints.append(
            Endpoint(
                pod=target["name"],
                address=addresses[0],
                ready=conditions.get("ready") is not False,  # the API: nil is ready
                terminating=conditions.get("terminating") is True,
            )
        )
    ports = {
        port["name"]: port["port"] for port in document.get("ports") or () if port.get("name") and port.get("port")
    }
    return Slice(component=component, endpoints=tuple(endpoints), ports=ports)


def parse_component(document: Object) -> Component | None:
    """What a ComponentPool says of its pods; None, if this version can't read it."""
    try:
        component = document["spec"]["component"]
        engine = EngineSpec.model_validate(component.get("engine") or {}, by_alias=True, by_name=False)
        known = engine.type == "simulated" or "step_time" in engine.model_fields_set
        return Component(name=component["name"], role=Role(component["role"]), engine=engine if known else None)
    except (KeyError, ValueError, ValidationError) as error:
        name = document.get("metadata", {}).get("name")
        log.warning("reading ComponentPool %s: %s", name, " ".join(str(error).split()))
        return None
