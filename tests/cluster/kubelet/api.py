"""The API server as the kubelet uses it: objects are plain dictionaries; a collection is listed, then watched."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

Thing = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
WATCH_S = 300
RETRY_S = 0.5
UNREACHABLE = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class ApiRefused(Exception):
    """The server said no; `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    """One session with the server."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Args: session: with the server's address, its authority and a token."""
        self._session = session

    async def ask(
        self, method: str, path: str, body: Thing | None = None, content_type: str = "application/json"
    ) -> Thing:
        """One request. Raises: ApiRefused; one of UNREACHABLE."""
        headers = {"Content-Type": content_type}
        data = json.dumps(body) if body is not None else None
        timeout = aiohttp.ClientTimeout(total=15)
        async with self._session.request(method, path, data=data, headers=headers, timeout=timeout) as answer:
            said = await answer.json(content_type=None)
            if answer.status >= 400:
                raise ApiRefused(answer.status, str(said.get("message", said)))
            return dict(said)

    async def watch(self, path: str, since: str) -> AsyncIterator[tuple[str, Thing]]:
        """Changes of a collection after a version, until the server ends it. Raises: as `ask`."""
        query = {"watch": "1", "resourceVersion": since, "timeoutSeconds": str(WATCH_S), "allowWatchBookmarks": "true"}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=WATCH_S + 30)
        async with self._session.get(path, params=query, timeout=timeout) as answer:
            if answer.status >= 400:
                raise ApiRefused(answer.status, await answer.text())
            buffered = b""
            async for chunk in answer.content.iter_any():  # not by line: an object may be longer than aiohttp's bound
                *lines, buffered = (buffered + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]


class Collection:
    """All objects of a collection, kept by list and watch; listed anew whenever the watch cannot go on."""

    def __init__(self, api: Api, path: str, changed: Callable[[Thing, bool], None]) -> None:
        """Args: changed: told each object that came or changed, and, with True, each that is gone."""
        self._api = api
        self._path = path
        self._changed = changed
        self.things: dict[str, Thing] = {}  # by uid

    async def follow(self) -> None:
        """Forever."""
        while True:
            try:
                version = await self._list()
                while True:
                    version = await self._follow_from(version)
            except (ApiRefused, *UNREACHABLE):  # expired, or the server is away: begin again
                await asyncio.sleep(RETRY_S)

    async def _list(self) -> str:
        listed = await self._api.ask("GET", self._path)
        there = {thing["metadata"]["uid"]: thing for thing in listed["items"]}
        for uid in self.things.keys() - there.keys():
            self._changed(self.things.pop(uid), True)
        for uid, thing in there.items():
            self.things[uid] = thing
            self._changed(thing, False)
        return str(listed["metadata"]["resourceVersion"])

    async def _follow_from(self, version: str) -> str:
        async for kind, thing in self._api.watch(self._path, version):
            if kind == "ERROR":
                raise ApiRefused(int(thing.get("code", 500)), str(thing.get("message")))
            version = thing["metadata"]["resourceVersion"]
            if kind == "BOOKMARK":
                continue
            uid = thing["metadata"]["uid"]
            if kind == "DELETED":
                self.things.pop(uid, None)
            else:
                self.things[uid] = thing
            self._changed(thing, kind == "DELETED")
        return version
