"""Registers a node and keeps it alive: its object, its status, its lease."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubelet.api import MERGE_PATCH, STRATEGIC_PATCH, UNREACHABLE, Api, ApiRefused, Thing
from kubelet.pod_status import conditions

LEASE_S = 40
RENEW_S = 10  # a quarter, as the real one
HEARTBEAT_S = 60
CONDITIONS = {
    "Ready": ("True", "KubeletReady", "the process kubelet is ready"),
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", ""),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", ""),
    "PIDPressure": ("False", "KubeletHasSufficientPID", ""),
}


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What a node says of itself.

    Args:
        allocatable: as the API has it: cpu, memory, pods, nvidia.com/gpu.
        taints: of key, value, effect.
    """

    name: str
    allocatable: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[dict[str, str], ...] = ()


def node_object(spec: NodeSpec, address: str) -> Thing:
    """The object that it registers."""
    own = {"kubernetes.io/hostname": spec.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": own | spec.labels},
        "spec": {"taints": list(spec.taints), "providerID": f"testbed://{spec.name}"},
        "status": node_status(spec, address, {}, time.time()),
    }


def node_status(spec: NodeSpec, address: str, before: Thing, now_s: float) -> Thing:
    """Its status now."""
    made = conditions(before.get("conditions", ()), CONDITIONS, now_s)
    heartbeat = _micro_time(now_s)[:19] + "Z"
    return {
        "capacity": spec.allocatable,
        "allocatable": spec.allocatable,
        "conditions": [{**condition, "lastHeartbeatTime": heartbeat} for condition in made],
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": spec.name}],
        "nodeInfo": dict.fromkeys(_NODE_INFO, "")
        | {"kubeletVersion": "v1.34.2", "operatingSystem": "linux", "architecture": "amd64"},
    }


_NODE_INFO = (
    "machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeProxyVersion",
)  # fmt: skip


class Node:
    """One node, alive while `run` runs."""

    def __init__(self, api: Api, spec: NodeSpec, address: str) -> None:
        self.spec = spec
        self.address = address
        self._api = api
        self._path = f"/api/v1/nodes/{spec.name}"
        self._lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"

    async def run(self) -> None:
        """Register, then renew. Goes on while the API is away."""
        beat_at_s = 0.0
        while True:
            try:
                if time.monotonic() >= beat_at_s:
                    await self._beat()
                    beat_at_s = time.monotonic() + HEARTBEAT_S
                await self._renew()
                await asyncio.sleep(RENEW_S)
            except (ApiRefused, *UNREACHABLE):
                await asyncio.sleep(1)

    async def leave(self) -> None:
        """Take it from the API."""
        with contextlib.suppress(ApiRefused, *UNREACHABLE):
            await self._api.ask("DELETE", self._path)

    async def _beat(self) -> None:
        try:
            before = await self._api.ask("GET", self._path)
        except ApiRefused as refused:
            if refused.code != 404:
                raise
            before = await self._api.ask("POST", "/api/v1/nodes", node_object(self.spec, self.address))
        status = node_status(self.spec, self.address, before["status"], time.time())
        await self._api.ask("PATCH", self._path + "/status", {"status": status}, STRATEGIC_PATCH)

    async def _renew(self) -> None:
        spec: dict[str, Any] = {
            "holderIdentity": self.spec.name,
            "leaseDurationSeconds": LEASE_S,
            "renewTime": _micro_time(time.time()),
        }
        try:
            await self._api.ask("PATCH", f"{self._lease}/{self.spec.name}", {"spec": spec}, MERGE_PATCH)
        except ApiRefused as refused:
            if refused.code != 404:
                raise
            await self._api.ask("POST", self._lease, {"metadata": {"name": self.spec.name}, "spec": spec})


def _micro_time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
