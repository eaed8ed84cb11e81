"""Warm capacity: nodes that wait for real pods, with images and weights on them. Pure.

A placeholder asks for all GPUs of a node and does nothing. Its priority is below that of real pods, so the scheduler
evicts it the moment that one finds no room, and above the cut-off of the cluster autoscaler, so that for its successor
a node is made. `warmCapacity.nodes` of them wait on each VM size that the deployment runs on.

On every node of a GPU pool a pod of a DaemonSet runs the engine's image asleep: an image in use is pulled, and no
kubelet throws it away for space. With `pod.cachePath` it fetches the weights first, into the folder of the node that
engines read. It is the pool's own pod but for the engine, so it has the same secrets, tolerations and volumes.

Sources: cluster autoscaler's FAQ (overprovisioning, expendable pods); huggingface_hub.snapshot_download.
"""

from collections.abc import Iterator

from penstock.errors import InputError
from penstock.hardware.vm_sizes import vm_size
from penstock.messages.pool_spec import PoolBody
from penstock.messages.spec import ComponentSpec, InferenceDeployment
from penstock.operator.desired.pods import WEIGHTS_VOLUME, pod_template
from penstock.operator.objects import (
    DEPLOYMENT_LABEL,
    GROUP,
    PLACEHOLDER_PRIORITY,
    Object,
    common_labels,
    metadata,
    object_name,
)
from penstock.operator.settings import OperatorSettings

WARM_LABEL = f"{GROUP}/warm"
_ASLEEP = ["sleep", "infinity"]
_FETCH = "import signal, sys, huggingface_hub as hub; hub.snapshot_download(sys.argv[1]); signal.pause()"
_KEPT = ("env", "envFrom", "image", "imagePullPolicy", "securityContext", "volumeMounts")  # of the engine's container


def warm_objects(
    deployment: InferenceDeployment, pools: dict[str, PoolBody], *, namespace: str, settings: OperatorSettings
) -> tuple[Object, ...]:
    """Placeholders of each VM size, and what pulls images on each pool's nodes.

    Args:
        pools: by component.
    Raises: InputError, for `auto`, and where no component has GPUs.
    """
    capacity, name = deployment.spec.warm_capacity, deployment.metadata.name
    if capacity is None:
        return ()
    if capacity.nodes == "auto":
        raise InputError(
            "spec.warmCapacity.nodes", "auto is not sized in a cluster yet", "state how many nodes to keep"
        )
    templates = {
        part.name: pod_template(name, pools[part.name], settings)["spec"]
        for part in deployment.spec.pools
        if part.gpu is not None
    }
    if not templates:
        raise InputError("spec.warmCapacity", "no component has a gpu, so no node could be kept", "leave it out")
    if capacity.nodes == 0:
        return ()
    made = [
        _placeholders(name, namespace, size, parts, templates[parts[0].name], capacity.nodes, settings)
        for size, parts in _by_size(deployment)
    ]
    made += [_pulled(name, namespace, pools[part], spec) for part, spec in templates.items()]
    return tuple(made)


def _by_size(deployment: InferenceDeployment) -> Iterator[tuple[str, list[ComponentSpec]]]:
    sizes: dict[str, list[ComponentSpec]] = {}
    for part in deployment.spec.pools:
        if part.gpu is not None:
            sizes.setdefault(part.gpu.vm_size, []).append(part)
    yield from sizes.items()


def _placeholders(
    name: str,
    namespace: str,
    size: str,
    parts: list[ComponentSpec],
    engine_spec: Object,
    nodes: int,
    settings: OperatorSettings,
) -> Object:
    word = size.lower().replace("_", "-")
    selector = {DEPLOYMENT_LABEL: name, WARM_LABEL: word}
    labels = common_labels(name) | selector
    container = {
        "name": "placeholder",
        "image": settings.pause_image,
        "resources": {"limits": {"nvidia.com/gpu": str(_gpus(size, parts))}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "priorityClassName": PLACEHOLDER_PRIORITY,
        "terminationGracePeriodSeconds": 0,  # it makes room at once
        "automountServiceAccountToken": False,
        "containers": [container],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }
    spec |= {key: engine_spec[key] for key in ("nodeSelector", "tolerations", "affinity") if key in engine_spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(object_name(name, "warm", word), namespace, labels),
        "spec": {
            "replicas": nodes,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "Recreate"},  # a surge of placeholders would buy nodes
            "progressDeadlineSeconds": 3600,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _gpus(size: str, parts: list[ComponentSpec]) -> int:
    """All of a node; of a VM size that nobody told us of, as many as the largest replica takes."""
    try:
        return vm_size(size).gpus
    except InputError:
        return max(part.gpu.count for part in parts if part.gpu is not None)


def _pulled(name: str, namespace: str, pool: PoolBody, engine_spec: Object) -> Object:
    part = pool.component
    engine = next(one for one in engine_spec["containers"] if one["name"] == "engine")
    there = pool.model.name.startswith(("/", "."))  # a path: nothing to fetch
    fetches = not there and any(volume["name"] == WEIGHTS_VOLUME for volume in engine_spec.get("volumes", ()))
    container = {key: engine[key] for key in _KEPT if key in engine} | {
        "name": "image",
        "command": ["python3", "-c", _FETCH, pool.model.name] if fetches else list(_ASLEEP),
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    spec = {key: value for key, value in engine_spec.items() if key not in ("containers", "initContainers")}
    spec |= {"terminationGracePeriodSeconds": 1, "containers": [container]}
    word = f"{part.name}-image"
    selector = {DEPLOYMENT_LABEL: name, WARM_LABEL: word}
    labels = common_labels(name) | selector
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(object_name(name, word), namespace, labels),
        "spec": {
            "selector": {"matchLabels": selector},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
