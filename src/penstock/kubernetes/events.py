"""An Event about an object, as `kubectl describe` shows it. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

LONGEST = 1024  # characters of a message that the API server takes


def event_about(
    api_version: str,
    kind: str,
    thing: Mapping[str, Any],
    *,
    reason: str,
    message: str,
    by: str,
    now: datetime,
    type: Literal["Normal", "Warning"] = "Normal",  # noqa: A002 - the API's word
) -> dict[str, Any]:
    """Make one, to be created in the object's namespace. Args: by: the component that says it."""
    meta = thing["metadata"]
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{meta['name']}.", "namespace": meta.get("namespace", "")},
        "involvedObject": {
            "apiVersion": api_version,
            "kind": kind,
            "name": meta["name"],
            "namespace": meta.get("namespace", ""),
            "uid": meta.get("uid"),
        },
        "type": type,
        "reason": reason,
        "message": message[:LONGEST],
        "source": {"component": by},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
