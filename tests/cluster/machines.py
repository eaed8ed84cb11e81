"""The machines of a testbed as one process: fixed nodes, node groups under an autoscaler, and what runs on them.

Run inside the namespace, as the first process of a process namespace: when it ends, however, the kernel ends every
container's process with it. Its one argument is a JSON file, written by `conftest.Machines`.
"""

import asyncio
import ipaddress
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import aiohttp
from kubelet.actions import Actions
from kubelet.api import Api
from kubelet.kubelet import Kubelet
from kubelet.node import NodeSpec
from node_provider.provider import NodeProvider
from node_provider.scan import NodeGroup, Settings


async def run(given: dict[str, Any]) -> None:
    """Until it is killed."""
    tls = ssl.create_default_context(cafile=given["authority"])
    headers = {"Authorization": f"Bearer {given['token']}"}
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    async with (
        aiohttp.ClientSession(given["server"], connector=connector, headers=headers) as to_api,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as to_pods,
    ):
        api = Api(to_api)
        addresses = ipaddress.IPv4Network(given["addresses"])
        kubelet = Kubelet(api, Actions(to_pods), Path(given["folder"]), given["images"], addresses)
        for node in given["nodes"]:
            kubelet.join(NodeSpec(**node | {"taints": tuple(node.get("taints", ()))}))
        groups = [NodeGroup(**group | {"taints": tuple(group.get("taints", ()))}) for group in given["groups"]]
        provider = NodeProvider(api, kubelet, groups, Settings(**given["autoscaler"]))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(kubelet.pods.follow())
            tasks.create_task(provider.run())


if __name__ == "__main__":
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))
