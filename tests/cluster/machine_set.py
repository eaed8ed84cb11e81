"""Starts the machines of a test (`machines.py`) beside a control plane, and takes their nodes away at the end."""

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from api_client import ApiError
from control_plane import API_PORT, TOKEN, ControlPlane

GIB_8 = {"cpu": "8", "memory": "8Gi", "pods": "50"}
# The first process of a process namespace, with the /proc that belongs to it: its end is the end of all below.
FIRST_PROCESS = ("unshare", "--pid", "--mount-proc", "--fork", "--kill-child=KILL")


class MachineSet:
    """One process that plays all machines of a test."""

    def __init__(
        self,
        plane: ControlPlane,
        number: int,
        *,
        nodes: Sequence[Mapping[str, Any]] = (),
        groups: Sequence[Mapping[str, Any]] = (),
        images: Mapping[str, Sequence[str]] | None = None,
        autoscaler: Mapping[str, float] | None = None,
    ) -> None:
        """Start it, and wait until its fixed nodes are ready.

        Args:
            number: of this set on the control plane; each has 4,094 addresses of its own.
            nodes: fields of `kubelet.node.NodeSpec`. groups: of `node_provider.scan.NodeGroup`. autoscaler: of its
                `Settings`. images: an image's name without tag to its entry point.
        """
        self.folder = plane.folder / f"machines-{number}"
        self.folder.mkdir()
        self._plane = plane
        self._groups = [group["name"] for group in groups]
        self._nodes = [node["name"] for node in nodes]
        given = self.folder / "machines.json"
        given.write_text(
            json.dumps(
                {
                    "server": f"https://127.0.0.1:{API_PORT}",
                    "authority": str(plane.folder / "ca.crt"),
                    "token": TOKEN,
                    "folder": str(self.folder / "pods"),
                    "images": images or {},
                    "addresses": f"10.77.{number % 16 * 16}.0/20",
                    "nodes": list(nodes),
                    "groups": list(groups),
                    "autoscaler": dict(autoscaler or {}),
                }
            )
        )
        program = Path(__file__).with_name("machines.py")
        self._process = plane.namespace.start(
            [*FIRST_PROCESS, sys.executable, str(program), str(given)], self.folder / "machines.log"
        )
        plane.until(lambda: set(self._nodes) <= self._ready_nodes())

    def end(self) -> None:
        """Kill it and all that runs on it, and take from the API what nobody would: pods that were on it."""
        self._process.kill()
        self._process.wait()
        gone = set()
        for node in self._plane.api.items("/api/v1/nodes"):
            name = node["metadata"]["name"]
            if name in self._nodes or node["metadata"]["labels"].get("testbed/node-group") in self._groups:
                gone.add(name)
                with contextlib.suppress(ApiError):
                    self._plane.api.delete(f"/api/v1/nodes/{name}")
        for pod in self._plane.api.items("/api/v1/pods"):
            if pod["spec"].get("nodeName") in gone:
                path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
                with contextlib.suppress(ApiError):
                    self._plane.api.delete(path, gracePeriodSeconds=0)

    def _ready_nodes(self) -> set[str]:
        assert self._process.poll() is None, f"it ended: {(self.folder / 'machines.log').read_text()[-2000:]}"
        return {
            node["metadata"]["name"]
            for node in self._plane.api.items("/api/v1/nodes")
            if not node["spec"].get("taints") or node["metadata"]["name"] not in self._nodes
            for condition in node["status"]["conditions"]
            if condition["type"] == "Ready" and condition["status"] == "True"
        }
