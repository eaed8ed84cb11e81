"""The autoscaler of a pool, as its spec names the owner: an HPA, KEDA's ScaledObject, or none of ours. Pure.

Both point at the ComponentPool's scale, never at the Deployment below it: two who write one count is how pools flap.
What an HPA's controller itself is told (sync period, tolerance) belongs to the cluster and is not in these objects.

Sources: HorizontalPodAutoscaler v2 API; https://keda.sh/docs/2.18/reference/scaledobject-spec/
"""

from typing import Any

from penstock.errors import InputError
from penstock.messages.observation import Signal
from penstock.messages.scaling_spec import Behavior, HpaScaling, KedaScaling, KedaTrigger
from penstock.messages.spec import ComponentSpec
from penstock.messages.worker import Role
from penstock.operator.objects import API_VERSION, COMPONENT_LABEL, DEPLOYMENT_LABEL, Object, planner_address
from penstock.operator.settings import OperatorSettings
from penstock.telemetry.queries import query

# Awake is pushed; asleep, a push that was lost and failures for the fallback are found by polls.
_PLANNER_POLL_S = 15


def autoscaler(meta: Object, deployment: str, component: ComponentSpec, settings: OperatorSettings) -> Object | None:
    """The HPA or ScaledObject; None where the planner, nobody, or somebody else scales. Raises: InputError."""
    scaling = component.autoscaling
    if isinstance(scaling, HpaScaling):
        return _hpa(meta, deployment, component, scaling)
    if isinstance(scaling, KedaScaling):
        return _scaled_object(meta, deployment, component, scaling, settings)
    return None


def _hpa(meta: Object, deployment: str, component: ComponentSpec, scaling: HpaScaling) -> Object:
    metrics: list[Object] = []
    if scaling.cpu_percent is not None:
        utilisation = {"type": "Utilization", "averageUtilization": scaling.cpu_percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": utilisation}})
    if scaling.requests_per_second is not None:
        metrics.append(_external(deployment, component, Signal.DEMAND, "AverageValue", scaling.requests_per_second))
    metrics += [
        _external(deployment, component, metric.metric, metric.type, metric.target) for metric in scaling.metrics
    ]
    spec: Object = {
        "scaleTargetRef": _target(meta["name"]),
        "minReplicas": scaling.min,
        "maxReplicas": scaling.max,
        "metrics": metrics,
    }
    if scaling.behavior is not None:
        spec["behavior"] = _behavior(scaling.behavior)
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": spec}


def _external(deployment: str, component: ComponentSpec, signal: Signal, kind: str, target: float) -> Object:
    """A signal by the external metrics API, as an adapter has to name it (docs/guides/kubernetes.md)."""
    labels = {_label(DEPLOYMENT_LABEL): deployment}
    if component.role is not Role.FRONTEND:
        labels[_label(COMPONENT_LABEL)] = component.name
    return {
        "type": "External",
        "external": {
            "metric": {"name": f"penstock_{signal.value}", "selector": {"matchLabels": labels}},
            "target": {"type": kind, kind[0].lower() + kind[1:]: quantity(target)},
        },
    }


def _scaled_object(
    meta: Object, deployment: str, component: ComponentSpec, scaling: KedaScaling, settings: OperatorSettings
) -> Object:
    if scaling.planner is not None:
        return _asking_planner(meta, scaling, settings)
    spec: Object = {
        "scaleTargetRef": _target(meta["name"]),
        "minReplicaCount": scaling.min,
        "maxReplicaCount": scaling.max,
        "pollingInterval": round(scaling.polling_interval_s),
        "cooldownPeriod": round(scaling.cooldown_period_s),
        "triggers": [_trigger(meta, deployment, component, trigger, settings) for trigger in scaling.triggers],
    }
    if scaling.idle_replicas is not None:
        spec["idleReplicaCount"] = scaling.idle_replicas
    if scaling.fallback is not None:
        spec["fallback"] = scaling.fallback.model_dump(by_alias=True)
    if scaling.behavior is not None:
        spec["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": _behavior(scaling.behavior)}}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": meta, "spec": spec}


def _asking_planner(meta: Object, scaling: KedaScaling, settings: OperatorSettings) -> Object:
    """A ScaledObject of which the planner is the external scaler. All that holds a count back is in the planner."""
    trigger = {
        "type": "external-push",
        "metricType": "AverageValue",  # of the count: `keda_value` says why
        "metadata": {"scalerAddress": settings.planner_address or planner_address("penstock")},
    }
    spec: Object = {
        "scaleTargetRef": _target(meta["name"]),
        "minReplicaCount": scaling.min,
        "maxReplicaCount": scaling.max,
        "pollingInterval": _PLANNER_POLL_S,
        "cooldownPeriod": 0,
        "triggers": [trigger],
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": planner_behavior(scaling.max)}},
    }
    if scaling.fallback is not None:
        spec["fallback"] = scaling.fallback.model_dump(by_alias=True)
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": meta, "spec": spec}


def planner_behavior(most: int) -> Object:
    """The behaviour of an HPA that does what it is told at once: no window, no limit below `most` a sync."""
    at_once = {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": most, "periodSeconds": 15}],
    }
    return {"scaleUp": at_once, "scaleDown": at_once}


def _trigger(
    meta: Object, deployment: str, component: ComponentSpec, trigger: KedaTrigger, settings: OperatorSettings
) -> Object:
    asked = trigger.query or query(
        trigger.metric, namespace=meta["namespace"], deployment=deployment, component=component.name
    )
    if asked is None:
        raise InputError(
            f"components {component.name}: autoscaling.triggers",
            f"Prometheus has no metric for {trigger.metric.value}",
            "give its query",
        )
    made: Object = {
        "type": "prometheus",
        "metricType": trigger.metric_type,
        "metadata": {
            "serverAddress": settings.prometheus,
            "query": asked,
            "threshold": f"{trigger.threshold:g}",
            "activationThreshold": f"{trigger.activation_threshold:g}",
            "ignoreNullValues": "true" if trigger.ignore_null_values else "false",
        },
    }
    if settings.keda_authentication is not None:
        made["authenticationRef"] = {"name": settings.keda_authentication}
    return made


def _target(name: str) -> Object:
    return {"apiVersion": API_VERSION, "kind": "ComponentPool", "name": name}


def _behavior(behavior: Behavior) -> Any:
    return behavior.model_dump(by_alias=True, exclude_none=True)


def _label(name: str) -> str:
    """As Prometheus spells a label of a pod."""
    return name.replace(".", "_").replace("/", "_").replace("-", "_")


def quantity(value: float) -> str:
    """A Kubernetes quantity, to the thousandth: 0.3 is `300m`."""
    return f"{value:g}" if value == int(value) else f"{round(value * 1000)}m"
