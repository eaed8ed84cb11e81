"""What is to be written so that what should exist does: nothing, if it does already. Pure.

An object is up to date if it says all that we would apply, and if that is what was applied last: an annotation has its
hash, since a field that we no longer want can't be seen by comparing. Fields that others set are theirs. An object
under our name that another owns is never taken over.

What is applied may come back in other words: a quantity `1000m` as `1`, an empty string not at all. Then what came back
is what the object is to say from then on, else it would be applied again at every look.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from penstock.operator.objects import GROUP, Object

APPLIED = f"{GROUP}/applied"

ObjectKey = tuple[str, str, str]  # apiVersion, kind, name
_AS_SAID: Mapping[ObjectKey, Object] = {}


@dataclass(frozen=True, slots=True)
class Step:
    """One write: apply an object, or delete it."""

    verb: Literal["apply", "delete"]
    thing: Object


class Taken(Exception):
    """An object of ours would have the name of one that is not."""

    def __init__(self, thing: Mapping[str, Any]) -> None:
        owner = next(iter(thing["metadata"].get("ownerReferences") or ()), None)
        whose = f"{owner['kind']} {owner['name']} owns it" if owner else "nobody owns it"
        super().__init__(f"{thing['kind']} {thing['metadata']['name']} exists and is not ours ({whose}): rename one")


def object_key(thing: Mapping[str, Any]) -> ObjectKey:
    """What tells an object from others of its namespace."""
    return thing["apiVersion"], thing["kind"], thing["metadata"]["name"]


def steps(
    owner: Mapping[str, Any],
    desired: Sequence[Object],
    live: Iterable[Mapping[str, Any]],
    reworded: Mapping[ObjectKey, Object] = _AS_SAID,
) -> tuple[Step, ...]:
    """The writes that are due, in order.

    Args:
        owner: the custom resource that all of it belongs to.
        live: what there is under the names of `desired`, and whatever else the owner owns.
        reworded: what came back of objects when they were applied last, where that was not what we said.
    Raises: Taken.
    """
    there = {object_key(thing): thing for thing in live}
    due: list[Step] = []
    wanted = set()
    for thing in desired:
        made = stamped(thing, owner)
        wanted.add(object_key(made))
        found = there.get(object_key(made))
        if found is not None and not owns(owner, found):
            raise Taken(found)
        if found is None or not up_to_date(made, found, reworded.get(object_key(made))):
            due.append(Step("apply", made))
    due += [Step("delete", dict(thing)) for key, thing in there.items() if key not in wanted and owns(owner, thing)]
    return tuple(due)


def stamped(thing: Object, owner: Mapping[str, Any]) -> Object:
    """An object as it is applied: with its owner, and the hash of what it says."""
    meta = thing["metadata"]
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    annotations = meta.get("annotations", {}) | {APPLIED: digest_of(thing)}
    return thing | {"metadata": meta | {"annotations": annotations, "ownerReferences": [reference]}}


def digest_of(thing: Mapping[str, Any]) -> str:
    """The same for what says the same, in whatever order."""
    return hashlib.sha256(orjson.dumps(thing, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def owns(owner: Mapping[str, Any], thing: Mapping[str, Any]) -> bool:
    """Whether this very object, not one of its name, controls the thing."""
    references = thing["metadata"].get("ownerReferences") or ()
    return any(each.get("controller") and each["uid"] == owner["metadata"]["uid"] for each in references)


def up_to_date(made: Mapping[str, Any], live: Mapping[str, Any], reworded: Mapping[str, Any] | None = None) -> bool:
    """Whether the live object says all that is to be applied; what was applied last is among that, by its hash."""
    if _says(live, made):
        return True
    return reworded is not None and _applied(reworded) == _applied(made) and _says(live, reworded)


def came_back(made: Object, answer: Mapping[str, Any]) -> Object | None:
    """What the API server made of an object that was applied, of what we said; None, if just that."""
    return None if _says(answer, made) else _part(answer, made)


def _applied(thing: Mapping[str, Any]) -> Any:
    return (thing["metadata"].get("annotations") or {}).get(APPLIED)


def _part(live: Any, said: Any) -> Any:
    """Of what is there, that which was spoken of."""
    if isinstance(live, Mapping) and isinstance(said, Mapping):
        return {key: _part(live[key], value) for key, value in said.items() if key in live}
    if isinstance(live, list) and isinstance(said, list) and len(live) == len(said):
        return [_part(*pair) for pair in zip(live, said, strict=True)]
    return live


def _says(live: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and _says(live[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(_says, live, wanted))
    return bool(live == wanted)
