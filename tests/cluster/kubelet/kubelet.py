"""The kubelet of many nodes: a `PodRunner` for each pod that the scheduler binds to one of them."""

import asyncio
import ipaddress
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubelet.actions import Actions
from kubelet.api import Api, Collection, Thing
from kubelet.container import Place
from kubelet.node import Node, NodeSpec
from kubelet.pod_runner import PodRunner


@dataclass(slots=True)
class _Running:
    node: str
    runner: PodRunner
    task: asyncio.Task[None]


class Kubelet:
    """Nodes and what runs on them."""

    def __init__(
        self,
        api: Api,
        actions: Actions,
        folder: Path,
        images: Mapping[str, Sequence[str]],
        addresses: ipaddress.IPv4Network,
    ) -> None:
        """Args: addresses: of its nodes and pods, each its own, never given twice."""
        self.pods = Collection(api, "/api/v1/pods", self._changed)
        self._api = api
        self._actions = actions
        self._folder = folder
        self._images = images
        self._addresses = addresses.hosts()
        self._nodes: dict[str, tuple[Node, asyncio.Task[None]]] = {}
        self._running: dict[str, _Running] = {}

    @property
    def node_names(self) -> list[str]:
        """Of the nodes that are up."""
        return list(self._nodes)

    def join(self, spec: NodeSpec) -> None:
        """A node comes up."""
        node = Node(self._api, spec, str(next(self._addresses)))
        self._nodes[spec.name] = (node, asyncio.create_task(node.run()))

    async def lose(self, name: str) -> None:
        """A node is gone, with all that runs on it, as when its machine is taken away."""
        node, task = self._nodes.pop(name)
        task.cancel()
        for running in list(self._running.values()):
            if running.node == name:
                running.task.cancel()
        await node.leave()

    def _changed(self, pod: Thing, gone: bool) -> None:
        uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName")
        running = self._running.get(uid)
        if running:
            if gone:
                running.runner.removed()
            else:
                running.runner.changed(pod)
        elif node in self._nodes and not gone and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            self._begin(uid, node, pod)

    def _begin(self, uid: str, node: str, pod: Thing) -> None:
        metadata = pod["metadata"]
        folder = self._folder / f"{metadata['namespace']}_{metadata['name']}_{uid[:8]}"
        folder.mkdir(parents=True)
        place = Place(folder, str(next(self._addresses)), self._nodes[node][0].address, self._images)
        runner = PodRunner(self._api, self._actions, pod, place)
        task = asyncio.create_task(runner.run())
        task.add_done_callback(lambda ended: self._ended(uid, ended))
        self._running[uid] = _Running(node, runner, task)
        runner.changed(pod)

    def _ended(self, uid: str, task: asyncio.Task[None]) -> None:
        self._running.pop(uid, None)
        if not task.cancelled() and (error := task.exception()):
            traceback.print_exception(error)
