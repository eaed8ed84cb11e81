"""A container of a pod, as what a process needs: command line, environment, probes, hook. Pure.

`$(NAME)` in command, arguments and values means a variable, `$$(NAME)` its own text, as in the API's reference.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kubelet.probe import Action, ConfigError, Exec, Probe, parse_action, parse_probe
from kubelet.volumes import Mounts, Sources, data_of, directories

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z0-9]+)\)")
_MAP_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


@dataclass(frozen=True, slots=True)
class Container:
    """One container, ready to be started."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None
    pre_stop: Action | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod is.

    Args:
        folder: the pod's own directory. images: an image's name without tag to its entry point.
    """

    folder: Path
    pod_ip: str
    host_ip: str
    images: Mapping[str, Sequence[str]]


def resolve(pod: Mapping[str, Any], given: Mapping[str, Any], place: Place, sources: Sources) -> Container:
    """One container of a pod's spec. Raises: ConfigError, with what to change."""
    mounts = Mounts(given.get("volumeMounts", ()), directories(pod["spec"].get("volumes", ()), place.folder))
    environment = {name: mounts.replaced(value) for name, value in _environment(pod, given, place, sources).items()}
    ports = {port["name"]: port["containerPort"] for port in given.get("ports", ()) if "name" in port}

    def text(raw: str) -> str:
        return mounts.replaced(expanded(raw, environment))

    def action(parsed: Action) -> Action:
        return Exec(tuple(mounts.replaced(word) for word in parsed.argv)) if isinstance(parsed, Exec) else parsed

    def probe(kind: str) -> Probe | None:
        parsed = parse_probe(given.get(kind), ports, place.pod_ip)
        return replace(parsed, action=action(parsed.action)) if parsed else None

    hooks = given.get("lifecycle", {})
    if "postStart" in hooks:
        raise ConfigError("postStart is not supported here")
    command = given.get("command") or _entry_point(given.get("image", ""), place.images)
    return Container(
        name=given["name"],
        argv=tuple(text(word) for word in (*command, *given.get("args", ()))),
        environment=environment,
        startup=probe("startupProbe"),
        readiness=probe("readinessProbe"),
        liveness=probe("livenessProbe"),
        pre_stop=action(parse_action(hooks["preStop"], ports, place.pod_ip)) if "preStop" in hooks else None,
    )


def check_pod(pod: Mapping[str, Any]) -> None:
    """Raises: ConfigError, if the whole pod asks for what is not supported."""
    for field in ("initContainers", "readinessGates", "resourceClaims"):
        if pod["spec"].get(field):
            raise ConfigError(f"{field} are not supported here")


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """A text with its references to variables resolved; an unknown one stays as it is."""
    return _REFERENCE.sub(
        lambda match: "$" if match[0] == "$$" else environment.get(match[1], match[0]),
        text,
    )


def _entry_point(image: str, images: Mapping[str, Sequence[str]]) -> Sequence[str]:
    name = re.sub(r"(@.*|:[^:/]*)$", "", image)
    if name not in images:
        raise ConfigError(f"image {image!r} is not known and there is no command: there are no real images here")
    return images[name]


def _environment(pod: Mapping[str, Any], given: Mapping[str, Any], place: Place, sources: Sources) -> dict[str, str]:
    environment: dict[str, str] = {}
    for source in given.get("envFrom", ()):
        for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if field in source:
                data = data_of(kind, source[field]["name"], sources, bool(source[field].get("optional")))
                environment |= {source.get("prefix", "") + key: value for key, value in data.items()}
    for variable in given.get("env", ()):
        if "valueFrom" in variable:
            value = _value_from(variable["valueFrom"], pod, place, sources)
            if value is not None:
                environment[variable["name"]] = value
        else:
            environment[variable["name"]] = expanded(variable.get("value", ""), environment)
    return environment


def _value_from(source: Mapping[str, Any], pod: Mapping[str, Any], place: Place, sources: Sources) -> str | None:
    if "fieldRef" in source:
        return _field(source["fieldRef"]["fieldPath"], pod, place)
    for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if field in source:
            wanted = source[field]
            data = data_of(kind, wanted["name"], sources, bool(wanted.get("optional")))
            if wanted["key"] in data:
                return data[wanted["key"]]
            if wanted.get("optional"):
                return None
            raise ConfigError(f"{kind.lower()} {wanted['name']!r} has no key {wanted['key']!r}")
    raise ConfigError(f"not supported here: a value from {', '.join(sorted(source))}")


def _field(path: str, pod: Mapping[str, Any], place: Place) -> str:
    metadata, spec = pod["metadata"], pod["spec"]
    if match := _MAP_FIELD.fullmatch(path):
        return str(metadata.get(match[1], {}).get(match[2], ""))
    fields = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": place.pod_ip,
        "status.podIPs": place.pod_ip,
        "status.hostIP": place.host_ip,
    }
    if path not in fields:
        raise ConfigError(f"not supported here: the field {path}")
    return str(fields[path])
