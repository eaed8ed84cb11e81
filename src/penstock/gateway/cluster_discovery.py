"""Follows a deployment's EndpointSlices and ComponentPools in a cluster.

Needs `list` and `watch` on both kinds in one namespace, and nothing else. While the API server does not answer, the
workers known last go on (`kubernetes.mirror`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from lightkube import AsyncClient
from pydantic import ValidationError

from penstock.gateway.endpoints import COMPONENT_LABEL, Component, Endpoint, Slice, records_of
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Mirror
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role, WorkerRecord

log = logging.getLogger(__name__)

DEPLOYMENT_LABEL = "penstock.dev/deployment"

Object = Mapping[str, Any]


class ClusterDiscovery:
    """Watches the pods of one InferenceDeployment (`discovery.Discovery`)."""

    def __init__(self, deployment: str, namespace: str, client: AsyncClient) -> None:
        self._changed = asyncio.Event()
        self._slices, self._pools = (
            Mirror(
                client,
                kind_of(*kind),
                namespace=namespace,
                labels={DEPLOYMENT_LABEL: deployment},
                changed=lambda _: self._changed.set(),
            )
            for kind in (
                ("discovery.k8s.io/v1", "EndpointSlice"),
                ("penstock.dev/v1alpha1", "ComponentPool"),
            )
        )

    async def watch(self) -> AsyncIterator[Sequence[WorkerRecord]]:
        tasks = [asyncio.create_task(mirror.run()) for mirror in (self._slices, self._pools)]
        told: Sequence[WorkerRecord] | None = None
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if not (self._slices.listed and self._pools.listed):
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
        pools = (parse_component(pool) for pool in self._pools)
        slices = (parse_slice(piece) for piece in self._slices)
        components = {pool.name: pool for pool in pools if pool is not None}
        return records_of((piece for piece in slices if piece is not None), components)


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
