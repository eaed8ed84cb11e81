"""The conditions of an object's status, by Kubernetes' convention. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

Condition = dict[str, Any]


def condition(kind: str, holds: bool, reason: str, message: str) -> Condition:
    """One of them: `reason` is a word for machines, `message` a sentence for people."""
    return {"type": kind, "status": "True" if holds else "False", "reason": reason, "message": message}


def dated(found: Sequence[Condition], thing: Mapping[str, Any], now: str) -> list[Condition]:
    """With the instant since which each holds, and the generation that it is of. Args: now: RFC 3339."""
    before = {each["type"]: each for each in (thing.get("status") or {}).get("conditions") or ()}
    generation = thing["metadata"].get("generation")
    made = []
    for each in found:
        old = before.get(each["type"], {})
        since = old.get("lastTransitionTime", now) if old.get("status") == each["status"] else now
        made.append(each | {"lastTransitionTime": since, "observedGeneration": generation})
    return made
