"""Reads what a pod takes from ConfigMaps and Secrets, and writes its volumes' directories."""

import base64
import contextlib
from collections.abc import Sequence
from pathlib import Path

from kubelet.api import Api, ApiRefused, Thing
from kubelet.volumes import Sources, directories, files_of


async def read_sources(api: Api, pod: Thing) -> Sources:
    """The ConfigMaps and Secrets of its namespace that it names; those that are not there are left out.

    Raises: one of UNREACHABLE.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for kind, name in named_sources(pod["spec"]):
        with contextlib.suppress(ApiRefused):  # `resolve` says so, if it has to be there
            path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/{kind.lower()}s/{name}"
            found[kind, name] = _texts(kind, (await api.ask("GET", path)).get("data", {}))
    return found


def write_volumes(volumes: Sequence[Thing], pod_folder: Path, sources: Sources) -> None:
    """Raises: ConfigError."""
    places = directories(volumes, pod_folder)
    for volume in volumes:
        files = files_of(volume, sources)
        place = places[volume["name"]]
        place.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            place.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            place.joinpath(name).write_text(text)


def named_sources(spec: Thing) -> set[tuple[str, str]]:
    """Kind and name of each that volumes, variables and `envFrom` name."""
    named = set()
    for volume in spec.get("volumes", ()):
        if "configMap" in volume:
            named.add(("ConfigMap", volume["configMap"]["name"]))
        if "secret" in volume:
            named.add(("Secret", volume["secret"]["secretName"]))
    for container in spec["containers"]:
        references = [*container.get("envFrom", ()), *(one.get("valueFrom", {}) for one in container.get("env", ()))]
        for reference in references:
            for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                for wanted in (reference.get(f"{field}Ref"), reference.get(f"{field}KeyRef")):
                    if wanted:
                        named.add((kind, wanted["name"]))
    return named


def _texts(kind: str, data: dict[str, str]) -> dict[str, str]:
    if kind == "ConfigMap":
        return dict(data)
    return {key: base64.b64decode(value).decode() for key, value in data.items()}
