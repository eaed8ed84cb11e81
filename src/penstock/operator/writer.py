"""Writes what is missing or bent of what a custom resource is to own, and deletes what is not to be there any more.

It remembers what it wrote, of which nothing counts: a new process writes once more, at most.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.types import CascadeType, PatchType

from penstock.errors import InputError
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Key, Mirror, Object, key_of
from penstock.operator.contention import Contention
from penstock.operator.objects import MANAGED_BY
from penstock.operator.plan import APPLIED, ObjectKey, Step, came_back, object_key, steps
from penstock.operator.reachable import until_reachable

log = logging.getLogger(__name__)

OPTIONAL = (
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("azmonitoring.coreos.com/v1", "PodMonitor"),
)

Named = tuple[str, Key]  # kind of the custom resource; its namespace and name


Before = Callable[[ObjectKey], Awaitable[None]]


async def _nothing(_: ObjectKey) -> None:
    pass


class Contested(Exception):
    """Somebody changes an object of ours each time that it was written. It is due again in `wait_s`."""

    def __init__(self, thing: Mapping[str, Any], by: str, wait_s: float) -> None:
        super().__init__(
            f"{thing['kind']} {thing['metadata']['name']}: {by} changes it each time that it is written: end that; "
            "it is written again, ever later"
        )
        self.wait_s = wait_s


@dataclass(slots=True)
class _Memory:
    """Of one owner's objects."""

    uid: str
    reworded: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)
    contention: Contention[ObjectKey] = field(default_factory=Contention)
    others: dict[ObjectKey, str] = field(default_factory=dict)  # who changed it


class Writer:
    """Of all owners. Args: children: mirrors of all that may be owned, by apiVersion and kind."""

    def __init__(self, client: AsyncClient, children: Mapping[tuple[str, str], Mirror]) -> None:
        self._client, self._children = client, children
        self._memories: dict[Named, _Memory] = {}

    def forget(self, owner: Named) -> None:
        """It is gone."""
        self._memories.pop(owner, None)

    async def write(self, owner: Object, desired: Sequence[dict[str, Any]], before: Before = _nothing) -> None:
        """All that is due.

        Args:
            before: awaited before an object is applied; not, if that has to wait.
        Raises: Taken, InputError; Contested, after everything else was written.
        """
        named, uid, namespace = (owner["kind"], key_of(owner)), owner["metadata"]["uid"], key_of(owner)[0]
        memory = self._memories.get(named)
        if memory is None or memory.uid != uid:
            memory = self._memories[named] = _Memory(uid)
        live = [
            dict(thing) | {"apiVersion": of[0], "kind": of[1]}  # items of a list do not say it
            for of, mirror in self._children.items()
            for thing in mirror.indexed(uid)
        ]
        owned = {object_key(thing) for thing in live}
        # What another owns may have the name; what carries no label of ours is in no mirror, and may have it too.
        found = [await self._find(thing, namespace) for thing in desired if object_key(thing) not in owned]
        live += [thing for thing in found if thing is not None]
        versions = {object_key(thing): int(thing["metadata"]["resourceVersion"]) for thing in live}
        contested: Contested | None = None
        for step in steps(owner, desired, live, memory.reworded):
            try:
                await self._do(step, namespace, memory, versions.get(object_key(step.thing)), before)
            except Contested as error:
                contested = error if contested is None else min(contested, error, key=lambda each: each.wait_s)
        if contested is not None:
            raise contested

    async def _find(self, thing: dict[str, Any], namespace: str) -> dict[str, Any] | None:
        """What has the name of an object that we would make."""
        of = thing["apiVersion"], thing["kind"]
        seen = self._children[of].get((namespace, thing["metadata"]["name"]))
        if seen is not None:
            return dict(seen) | {"apiVersion": of[0], "kind": of[1]}
        return await self._ask(of, thing["metadata"]["name"], namespace)

    async def _ask(self, of: tuple[str, str], name: str, namespace: str) -> dict[str, Any] | None:
        try:
            found = await self._client.get(kind_of(*of), name, namespace=namespace)
        except httpx2.HTTPStatusError as error:  # an ApiError, or the bare answer where nobody serves the kind
            if error.response.status_code == 404:
                return None
            raise
        return dict(found) | {"apiVersion": of[0], "kind": of[1]}

    async def _do(self, step: Step, namespace: str, memory: _Memory, version: int | None, before: Before) -> None:
        thing = step.thing
        of, name = (thing["apiVersion"], thing["kind"]), thing["metadata"]["name"]
        if of in OPTIONAL and not self._children[of].listed:
            if of[1] == "PodMonitor":  # without it nothing is measured through Prometheus, and everything else works
                log.info("no PodMonitor %s/%s: the cluster does not know %s", namespace, name, of[0])
                return
            raise InputError(
                f"{of[1]} {name}", f"the cluster does not know {of[0]}", "install KEDA, or name another owner"
            )
        if step.verb == "delete":
            await self._delete(step.thing, namespace, memory)
        else:
            await until_reachable(thing)
            await self._apply(step.thing, namespace, memory, version, before)

    async def _apply(
        self, thing: dict[str, Any], namespace: str, memory: _Memory, version: int | None, before: Before
    ) -> None:
        key, digest = object_key(thing), thing["metadata"]["annotations"][APPLIED]
        if memory.contention.is_stale(key, digest, version):
            return  # an event is on its way
        wait_s = memory.contention.wait_s(key, digest, time.monotonic())
        if wait_s > 0:
            raise Contested(thing, memory.others.get(key, "somebody"), wait_s)
        of, name = (key[0], key[1]), key[2]
        if memory.contention.has_written(key, digest):
            there = await self._ask(of, name, namespace)
            memory.others[key] = "somebody" if there is None else _changed_by(there)
        await before(key)
        log.info("apply %s %s/%s", of[1], namespace, name)
        answer = await self._client.patch(
            kind_of(*of),
            name,
            thing,
            namespace=namespace,
            patch_type=PatchType.APPLY,
            field_manager=MANAGED_BY,
            force=True,
        )
        memory.contention.wrote(key, digest, int(answer["metadata"]["resourceVersion"]), time.monotonic())
        said = came_back(thing, answer)
        if said is not None:
            memory.reworded[key] = said

    async def _delete(self, thing: dict[str, Any], namespace: str, memory: _Memory) -> None:
        (version, kind), name = (thing["apiVersion"], thing["kind"]), thing["metadata"]["name"]
        log.info("delete %s %s/%s", kind, namespace, name)
        memory.reworded.pop(object_key(thing), None)
        try:
            await self._client.delete(kind_of(version, kind), name, namespace=namespace, cascade=CascadeType.BACKGROUND)
        except ApiError as error:
            if error.status.code != 404:
                raise


def _changed_by(thing: Mapping[str, Any]) -> str:
    """Who wrote it last, as its managed fields say: what it is to be, not how it is or what is noted on it."""
    found = [
        (each.get("time", ""), str(each.get("manager")))
        for each in thing["metadata"].get("managedFields") or ()
        if each.get("fieldsV1", {}).keys() - {"f:metadata", "f:status"} and each.get("manager") != MANAGED_BY
    ]
    return max(found, default=("", "another operator"))[1]
