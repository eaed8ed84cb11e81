"""Carries out what the autoscaler decides: boots machines, drains them, takes them away. A thin shell round `scan`."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from kubelet.api import STRATEGIC_PATCH, UNREACHABLE, Api, ApiRefused
from kubelet.kubelet import Kubelet

from node_provider.fitting import Pod
from node_provider.scan import Add, Memory, NodeGroup, Remove, Settings, scan

DRAIN_S = 600.0
RETRY_S = 1.0
LEAVING = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}


class NodeProvider:
    """A cloud's node groups."""

    def __init__(self, api: Api, kubelet: Kubelet, groups: Sequence[NodeGroup], settings: Settings) -> None:
        self._api = api
        self._kubelet = kubelet
        self._groups = groups
        self._settings = settings
        self._memory = Memory()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Forever."""
        while True:
            pods = list(self._kubelet.pods.things.values())
            joined = self._kubelet.node_names
            for step in scan(self._groups, self._settings, self._memory, pods, joined, now_s=time.monotonic()):
                task = asyncio.create_task(self._boot(step) if isinstance(step, Add) else self._take_away(step))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(self._settings.scan_s)

    async def _boot(self, step: Add) -> None:
        await asyncio.sleep(step.delay_s)
        self._kubelet.join(step.node)

    async def _take_away(self, step: Remove) -> None:
        with contextlib.suppress(ApiRefused, *UNREACHABLE):
            taints = {"spec": {"taints": [LEAVING]}}
            await self._api.ask("PATCH", f"/api/v1/nodes/{step.node}", taints, STRATEGIC_PATCH)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await asyncio.gather(*(self._evict(pod) for pod in step.pods))
        await self._kubelet.lose(step.node)

    async def _evict(self, pod: Pod) -> None:
        """Ask until a disruption budget lets it, then wait until it is gone."""
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/eviction"
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        }
        asked = False
        while metadata["uid"] in self._kubelet.pods.things:
            if not asked:
                with contextlib.suppress(ApiRefused, *UNREACHABLE):
                    await self._api.ask("POST", path, body)
                    asked = True
            await asyncio.sleep(RETRY_S)
