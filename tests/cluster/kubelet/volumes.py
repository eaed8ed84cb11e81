"""Volumes as directories of the pod, and mount paths as names for them. Pure.

Nothing is mounted: that takes privileges, and directories on the machine's own disk to mount upon. Instead a mount path
(`/etc/penstock`) is replaced by its directory wherever it stands as a path in command, arguments, environment and exec
actions. A program with the path compiled in does not find it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubelet.probe import ConfigError

Sources = Mapping[tuple[str, str], Mapping[str, str]]  # ("ConfigMap" or "Secret", name) to its data


def files_of(volume: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    """What is written in a volume's directory: file name to text. Raises: ConfigError."""
    if "emptyDir" in volume or "hostPath" in volume:
        return {}
    for kind, field, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
        if field in volume:
            data = data_of(kind, volume[field][name], sources, bool(volume[field].get("optional")))
            items = volume[field].get("items")
            if items is None:
                return dict(data)
            return {item["path"]: data[item["key"]] for item in items if item["key"] in data}
    kinds = ", ".join(sorted(set(volume) - {"name"}))
    raise ConfigError(f"volume {volume['name']}: {kinds or 'nothing'} is not supported here")


def data_of(kind: str, name: str, sources: Sources, optional: bool = False) -> Mapping[str, str]:
    """Raises: ConfigError, if it is not there and has to be."""
    if (kind, name) in sources:
        return sources[kind, name]
    if optional:
        return {}
    raise ConfigError(f"{kind.lower()} {name!r} not found")


def directories(volumes: Sequence[Mapping[str, Any]], pod_folder: Path) -> dict[str, Path]:
    """Where each volume is, by name."""
    return {
        volume["name"]: Path(volume["hostPath"]["path"])
        if "hostPath" in volume
        else pod_folder / "volumes" / volume["name"]
        for volume in volumes
    }


class Mounts:
    """A container's mount paths."""

    def __init__(self, mounts: Sequence[Mapping[str, Any]], places: Mapping[str, Path]) -> None:
        """Raises: ConfigError, if a volume is not there."""
        self._places: dict[str, str] = {}
        for mount in mounts:
            if mount["name"] not in places:
                raise ConfigError(f"no volume named {mount['name']!r}")
            place = places[mount["name"]] / mount.get("subPath", "")
            self._places[mount["mountPath"].rstrip("/")] = str(place)
        longest_first = sorted(self._places, key=len, reverse=True)
        whole_path = "|".join(re.escape(path) for path in longest_first)
        self._pattern = re.compile(rf"(?<![\w./-])({whole_path})(?![\w.-])") if longest_first else None

    def replaced(self, text: str) -> str:
        """The text with its mount paths as directories."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._places[match[1]], text)
