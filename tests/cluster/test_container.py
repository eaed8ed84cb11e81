"""A pod's containers as processes, without any process."""

from pathlib import Path
from typing import Any

import pytest
from kubelet.container import Place, check_pod, expanded, resolve
from kubelet.probe import ConfigError, Exec, HttpGet
from kubelet.quantity import amount
from kubelet.sources import named_sources
from kubelet.volumes import Mounts, files_of

PLACE = Place(
    Path("/pods/a"), "10.77.0.9", "10.77.0.1", {"registry.example:5000/penstock": ("python", "-m", "penstock")}
)
SOURCES = {("ConfigMap", "settings"): {"mode": "quick", "spec.yaml": "kind: InferenceDeployment"}}


def pod(container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": "web-1", "namespace": "apps", "uid": "u-1", "labels": {"app": "web"}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "main", **container}], "nodeName": "n1", **spec}}


def resolved(container: dict[str, Any], **spec: Any):
    given = pod(container, **spec)
    check_pod(given)
    return resolve(given, given["spec"]["containers"][0], PLACE, SOURCES)


def test_fields_of_the_pod_and_other_variables_reach_the_command_line() -> None:
    """`$(NAME)` in arguments; `$$` is a dollar; an unknown reference stays."""
    fields = {"IP": "status.podIP", "POD": "metadata.name", "APP": "metadata.labels['app']", "NODE": "spec.nodeName"}
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    env += [
        {"name": "URL", "value": "http://$(IP):80"},
        {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
    ]
    made = resolved({"command": ["serve"], "args": ["$(URL)", "--id=$(POD)", "$$(POD)", "$(NONE)"], "env": env})
    assert made.argv == ("serve", "http://10.77.0.9:80", "--id=web-1", "$(POD)", "$(NONE)")
    assert made.environment == {
        "IP": "10.77.0.9",
        "POD": "web-1",
        "APP": "web",
        "NODE": "n1",
        "URL": "http://10.77.0.9:80",
        "MODE": "quick",
    }
    assert expanded("$$$(A)", {"A": "1"}) == "$1"


def test_a_mount_path_is_its_directory_wherever_it_stands_as_a_path() -> None:
    """In arguments, variables and exec probes, but not inside other paths."""
    volumes = [{"name": "config", "configMap": {"name": "settings"}}, {"name": "work", "emptyDir": {}}]
    mounts = [{"name": "config", "mountPath": "/etc/app"}, {"name": "work", "mountPath": "/etc/app/work"}]
    probe = {"exec": {"command": ["cat", "/etc/app/mode"]}}
    made = resolved(
        {
            "command": ["serve", "--file=/etc/app/spec.yaml", "/etc/app/work/x", "/etc/apple", "/srv/etc/app"],
            "env": [{"name": "WORK", "value": "/etc/app/work:/etc/app"}],
            "volumeMounts": mounts,
            "livenessProbe": probe,
        },
        volumes=volumes,
    )
    config, work = "/pods/a/volumes/config", "/pods/a/volumes/work"
    assert made.argv[1:] == (f"--file={config}/spec.yaml", f"{work}/x", "/etc/apple", "/srv/etc/app")
    assert made.environment == {"WORK": f"{work}:{config}"}
    assert made.liveness
    assert made.liveness.action == Exec(("cat", f"{config}/mode"))
    assert files_of(volumes[0], SOURCES)["mode"] == "quick"
    assert Mounts((), {}).replaced("/etc/app") == "/etc/app"


def test_an_image_stands_for_its_entry_point_and_probes_know_ports_by_name() -> None:
    """Without a command the image's name says it, whatever its tag."""
    made = resolved(
        {
            "image": "registry.example:5000/penstock:0.1",
            "args": ["worker"],
            "ports": [{"name": "http", "containerPort": 8000}],
            "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
        }
    )
    assert made.argv == ("python", "-m", "penstock", "worker")
    assert made.readiness
    assert made.readiness.action == HttpGet("http://10.77.0.9:8000/health")
    assert (made.readiness.period_s, made.readiness.timeout_s, made.readiness.failure_threshold) == (1.0, 1.0, 3)


@pytest.mark.parametrize(
    ("container", "spec", "said"),
    [
        ({"image": "unknown"}, {}, "no real images"),
        ({"command": ["x"], "livenessProbe": {"grpc": {"port": 1}}}, {}, "grpc"),
        ({"command": ["x"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}, {}, "no volume named 'v'"),
        ({"command": ["x"], "envFrom": [{"configMapRef": {"name": "gone"}}]}, {}, "configmap 'gone' not found"),
        ({"command": ["x"], "readinessProbe": {"tcpSocket": {"port": "http"}}}, {}, "no port named 'http'"),
        ({"command": ["x"]}, {"initContainers": [{"name": "first"}]}, "initContainers"),
    ],
)
def test_what_is_not_supported_is_said(container: dict[str, Any], spec: dict[str, Any], said: str) -> None:
    """Never ignored."""
    with pytest.raises(ConfigError, match=said):
        resolved(container, **spec)


def test_all_sources_that_a_pod_names_are_read() -> None:
    """Volumes, variables, and whole environments."""
    container = {
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}],
        "envFrom": [{"configMapRef": {"name": "c1"}}],
    }
    volumes = [{"name": "v", "secret": {"secretName": "s2"}}, {"name": "w", "configMap": {"name": "c2"}}]
    named = named_sources(pod(container, volumes=volumes)["spec"])
    assert named == {("Secret", "s1"), ("ConfigMap", "c1"), ("Secret", "s2"), ("ConfigMap", "c2")}


def test_quantities_are_exact() -> None:
    """As the API writes them."""
    assert [float(amount(text)) for text in ("500m", "1.5Gi", "2", "1e3", "4k")] == [0.5, 1.5 * 2**30, 2, 1000, 4000]
    with pytest.raises(ValueError):
        amount("two")
