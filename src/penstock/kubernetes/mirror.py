"""All objects of one kind that carry some labels, kept true by list and watch.

A watch that breaks is begun anew with a list, and so it is every few minutes in any case, in case an event was lost.
While the API server does not answer, what was known last stays: no data is not an empty list. Where a kind is not
known to the API server (KEDA is not installed), the mirror stays unlisted and asks again now and then.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError

from penstock.kubernetes.kinds import Kind

log = logging.getLogger(__name__)

RESYNC_S = 300  # a watch is ended by the server after this, and begun with a list
_RETRY_S = 1.0
_RETRY_MOST_S = 15.0
_UNKNOWN_KIND_S = 60.0

Object = Mapping[str, Any]
Key = tuple[str, str]  # namespace, name


def key_of(thing: Object) -> Key:
    """Namespace and name."""
    meta = thing["metadata"]
    return meta.get("namespace", ""), meta["name"]


class Mirror:
    """Objects of one kind, by namespace and name.

    Args:
        namespace: None: all of them.
        labels: that objects must carry; None as a value: whatever it is.
        changed: told, after each list and each event, which objects came, changed or went; may be none.
        index: by what objects are found, beside their name (`indexed`); None, for one that is not.
    """

    def __init__(
        self,
        client: AsyncClient,
        kind: Kind,
        *,
        namespace: str | None,
        labels: Mapping[str, str | None],
        changed: Callable[[list[Object]], None],
        index: Callable[[Object], Hashable] = lambda _: None,
    ) -> None:
        self.kind = kind
        self.listed = False
        self._objects: dict[Key, Object] = {}
        self._index, self._indexed = index, dict[Hashable, dict[Key, Object]]()
        self._client = client
        self._namespace = namespace or "*"
        self._labels: dict[str, Any] = dict(labels)
        self._changed = changed

    def get(self, key: Key) -> Object | None:
        """One object; None, if it is not there."""
        return self._objects.get(key)

    def indexed(self, value: Hashable) -> Collection[Object]:
        """The objects whose index is that."""
        return self._indexed.get(value, {}).values()

    def __iter__(self) -> Iterator[Object]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    async def run(self) -> None:
        """Keep it true, for ever."""
        wait_s = _RETRY_S
        while True:
            try:
                version = await self._list()
                wait_s = _RETRY_S
                await self._watch(version)
                continue
            except ApiError as error:
                if error.status.code == 410:
                    continue  # too long away: list anew
                trouble = error.status.message or str(error)
            except (httpx2.HTTPError, OSError) as error:
                if isinstance(error, httpx2.HTTPStatusError) and error.response.status_code == 404:
                    await asyncio.sleep(_UNKNOWN_KIND_S)  # nobody serves this API
                    continue
                trouble = f"{type(error).__name__}: {error}"
            log.warning("watching %s: %s; keeping what is known", self.kind.__name__, " ".join(trouble.split()))
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _RETRY_MOST_S)

    async def _list(self) -> str:
        found: dict[Key, Object] = {}
        answer = self._client.list(self.kind, namespace=self._namespace, labels=self._labels)
        async for item in answer:
            found[key_of(item)] = item
        known = dict(self._objects)
        other = [item for key, item in found.items() if _version(known.get(key)) != _version(item)]
        other += [item for key, item in known.items() if key not in found]
        for key in known.keys() - found.keys():
            self._drop(key)
        for key, new in found.items():
            if _version(known.get(key)) != _version(new):
                self._keep(new)
        self.listed = True
        self._changed(other)
        return answer.resourceVersion

    async def _watch(self, version: str) -> None:
        """Until the server ends it."""
        events = self._client.watch(
            self.kind,
            namespace=self._namespace,
            labels=self._labels,
            server_timeout=RESYNC_S,
            resource_version=version,
        )
        async with asyncio.timeout(2 * RESYNC_S):  # a connection that died without a word
            async for change, item in events:
                if change == "DELETED":
                    self._drop(key_of(item))
                else:
                    self._keep(item)
                self._changed([item])

    def _keep(self, item: Any) -> None:
        """Without who wrote which of its fields, which is half of it and read by nobody."""
        item["metadata"].pop("managedFields", None)
        key = key_of(item)
        self._drop(key)
        self._objects[key] = item
        if (value := self._index(item)) is not None:
            self._indexed.setdefault(value, {})[key] = item

    def _drop(self, key: Key) -> None:
        item = self._objects.pop(key, None)
        if item is None or (value := self._index(item)) is None:
            return
        group = self._indexed[value]
        del group[key]
        if not group:
            del self._indexed[value]


def _version(thing: Object | None) -> str | None:
    return None if thing is None else thing["metadata"].get("resourceVersion")
