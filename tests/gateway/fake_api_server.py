"""The two calls of an API server that discovery makes, list and watch, from objects in memory; and its bad days."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]


class FakeApiServer:
    """Objects by plural and name. Each change has a version; a watch gets those after its own."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Object]] = {"endpointslices": {}, "componentpools": {}}
        self.version = 1
        self.gone = False  # answer watches with 410 from now on
        self.down = False
        self.lists = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._watches: list[tuple[str, asyncio.StreamWriter]] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Break every watch."""
        for _, writer in self._watches:
            writer.transport.abort()
        self._watches.clear()

    def put(self, plural: str, item: Object, *, silently: bool = False) -> None:
        """Create or change an object; `silently`: no watch hears of it."""
        self.version += 1
        name = item["metadata"]["name"]
        known = name in self.objects[plural]
        item["metadata"]["resourceVersion"] = str(self.version)
        self.objects[plural][name] = item
        if not silently:
            self._tell(plural, "MODIFIED" if known else "ADDED", item)

    def delete(self, plural: str, name: str) -> None:
        self.version += 1
        item = self.objects[plural].pop(name)
        item["metadata"]["resourceVersion"] = str(self.version)
        self._tell(plural, "DELETED", item)

    def _tell(self, plural: str, change: str, item: Object) -> None:
        for watched, writer in self._watches:
            if watched == plural:
                writer.write(_chunk({"type": change, "object": item}))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                url = urlsplit(head.split(" ")[1])
                asked = parse_qs(url.query)
                plural = url.path.rpartition("/")[2]
                assert asked["labelSelector"] == ["penstock.dev/deployment=d"]
                assert "/namespaces/ns/" in url.path
                if self.down:
                    writer.write(_whole(500, {"kind": "Status", "code": 500, "message": "etcd is slow"}))
                elif asked.get("watch") == ["true"]:
                    self._watch(plural, writer)
                else:
                    self.lists += 1
                    items = list(self.objects[plural].values())
                    document = {"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": items}
                    writer.write(_whole(200, document))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _watch(self, plural: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        if self.gone:
            self.gone = False
            status = {"kind": "Status", "status": "Failure", "code": 410, "message": "too old resource version"}
            writer.write(_chunk({"type": "ERROR", "object": status}) + b"0\r\n\r\n")
            return
        self._watches.append((plural, writer))


def _chunk(document: Object) -> bytes:
    line = json.dumps(document).encode() + b"\n"
    return b"%x\r\n%b\r\n" % (len(line), line)


def _whole(status: int, document: Object) -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body
