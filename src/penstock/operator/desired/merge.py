"""A user's part of an object over ours, as `kubectl patch` merges: maps deeply, lists of named things by name. Pure."""

from typing import Any


def merged(ours: Any, theirs: Any) -> Any:
    """Theirs over ours; new things at the end. A list of anything but named objects is replaced. Neither is changed."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        both = {key: merged(value, theirs[key]) if key in theirs else value for key, value in ours.items()}
        return both | {key: value for key, value in theirs.items() if key not in ours}
    if _named(ours) and _named(theirs):
        over = {item["name"]: item for item in theirs}
        kept = [merged(item, over[item["name"]]) if item["name"] in over else item for item in ours]
        known = {item["name"] for item in ours}
        return kept + [item for item in theirs if item["name"] not in known]
    return theirs


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)
