"""A mirror, fed by lists and events in any order: what is there, and by its index."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Mirror

POD = kind_of("v1", "Pod")
OBJECTS = st.builds(lambda name, team: (name, team), st.sampled_from("abc"), st.sampled_from(["x", "y", None]))
EVENTS = st.lists(st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), OBJECTS), max_size=6)
ROUNDS = st.lists(st.tuples(st.lists(OBJECTS, max_size=3, unique_by=lambda each: each[0]), EVENTS), max_size=4)


class Server:
    """An API server that lists, then tells events, then ends the watch; after the last one it is silent."""

    def __init__(self, rounds: list[Any]) -> None:
        self._rounds = iter(rounds)
        self._version = 0
        self._events: list[Any] = []
        self.there: dict[str, str | None] = {}
        self.silent = asyncio.Event()

    def list(self, *_: Any, **__: Any) -> "Listed":
        found = next(self._rounds, None)
        listed, self._events = ([], None) if found is None else found  # type: ignore[assignment]
        if found is not None:
            self.there = dict(listed)
        return Listed([self._pod(*each) for each in (listed if found is not None else self.there.items())])

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[tuple[str, Any]]:
        if self._events is None:
            self.silent.set()
            await asyncio.Event().wait()
        for kind, (name, team) in self._events:
            if kind == "DELETED":
                self.there.pop(name, None)
            else:
                self.there[name] = team
            yield kind, self._pod(name, team)

    def _pod(self, name: str, team: str | None) -> Any:
        self._version += 1
        labels = {"team": team} if team else {}
        meta = {"name": name, "resourceVersion": str(self._version), "labels": labels, "managedFields": [{}]}
        return POD.from_dict({"metadata": meta})


class Listed:
    """An answer to a list."""

    resourceVersion = "1"

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self._items:
            yield item


@given(ROUNDS)
def test_objects_are_found_by_name_and_by_index_after_any_lists_and_events(rounds: list[Any]) -> None:
    async def follow() -> None:
        server = Server(rounds)
        mirror = Mirror(
            server,  # type: ignore[arg-type]
            POD,
            namespace=None,
            labels={},
            changed=lambda _: None,
            index=lambda pod: pod["metadata"]["labels"].get("team"),
        )
        task = asyncio.create_task(mirror.run())
        await server.silent.wait()
        task.cancel()
        assert {pod["metadata"]["name"]: pod["metadata"]["labels"].get("team") for pod in mirror} == server.there
        for team in ("x", "y"):
            names = {pod["metadata"]["name"] for pod in mirror.indexed(team)}
            assert names == {name for name, theirs in server.there.items() if theirs == team}
        assert not mirror.indexed(None)
        assert all("managedFields" not in pod["metadata"] for pod in mirror)

    asyncio.run(follow())
