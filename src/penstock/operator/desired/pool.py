"""All that a ComponentPool owns: a Deployment of its pods, their Service, disruption budget, monitor, autoscaler.

A pure function of the pool and the cluster's settings. The number of pods in the Deployment is the pool's, whoever
wrote it there; the operator never writes the pool's own.
"""

from penstock.messages.pool_spec import PoolBody
from penstock.messages.worker import Role
from penstock.operator.desired.autoscaler import autoscaler
from penstock.operator.desired.engines import PORTS
from penstock.operator.desired.pods import pod_template
from penstock.operator.objects import (
    COMPONENT_LABEL,
    DEPLOYMENT_LABEL,
    Object,
    common_labels,
    metadata,
    selector_labels,
)
from penstock.operator.settings import OperatorSettings


def pool_objects(
    name: str, namespace: str, deployment: str, pool: PoolBody, settings: OperatorSettings
) -> tuple[Object, ...]:
    """What is to exist for a pool.

    Args:
        name: of the ComponentPool; its objects are called the same.
        deployment: the InferenceDeployment that it belongs to.
    Raises: InputError, for an engine that the gateway can't talk to.
    """
    meta = metadata(name, namespace, common_labels(deployment, pool.component.name))
    selector = selector_labels(deployment, pool.component.name)
    objects = [
        _deployment(meta, selector, deployment, pool, settings),
        _service(meta, selector, pool),
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": meta,
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
        },
    ]
    if settings.monitors is not None:
        objects.append(_monitor(meta, selector, settings.monitors))
    scaler = autoscaler(meta, deployment, pool.component, settings)
    if scaler is not None:
        objects.append(scaler)
    return tuple(objects)


def service_account_of(deployment: str) -> str:
    """The account of a deployment's gateways: they watch who serves."""
    return f"{deployment}-gateway"


def _deployment(
    meta: Object, selector: dict[str, str], deployment: str, pool: PoolBody, settings: OperatorSettings
) -> Object:
    account = service_account_of(deployment) if pool.component.role is Role.FRONTEND else None
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": pool.wanted,
            "selector": {"matchLabels": selector},
            # Never below capacity: a new pod first, then an old one goes.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": 3600,
            "template": pod_template(deployment, pool, settings, service_account=account),
        },
    }


def _service(meta: Object, selector: dict[str, str], pool: PoolBody) -> Object:
    """A frontend's has an address for clients; an engine's has none: gateways choose the pod themselves."""
    names = ["http"] if pool.component.role is Role.FRONTEND else list(PORTS)
    service: Object = {
        "selector": selector,
        "ports": [{"name": name, "port": PORTS[name], "targetPort": name} for name in names],
    }
    if pool.component.role is not Role.FRONTEND:
        service["clusterIP"] = "None"
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service}


def _monitor(meta: Object, selector: dict[str, str], group: str) -> Object:
    return {
        "apiVersion": group,
        "kind": "PodMonitor",
        "metadata": meta,
        "spec": {
            "selector": {"matchLabels": selector},
            "podTargetLabels": [DEPLOYMENT_LABEL, COMPONENT_LABEL],
            "podMetricsEndpoints": [{"port": "http", "path": "/metrics", "interval": "15s"}],
        },
    }
