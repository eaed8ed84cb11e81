"""What installs Penstock in a cluster: operator and planner, with their accounts, rights and Deployments, and the
priority of placeholders. Pure.

The rights are those that each uses and no more. The operator writes only kinds that it makes, reads pods, and can
give gateways only what it may do itself (`list` and `watch` of EndpointSlices and pools). The planner writes scales and
Events.
"""

from penstock.operator.objects import GROUP, KEDA_PORT, PLACEHOLDER_PRIORITY, PLANNER, Object, planner_address
from penstock.operator.settings import OperatorSettings

OPERATOR = "penstock-operator"
_RBAC = "rbac.authorization.k8s.io"
# Below any pod that says nothing of its priority, and not below the -10 at which the cluster autoscaler stops to care.
_PLACEHOLDER_PRIORITY = -5
_SEE = ["list", "watch"]
_WRITE = ["get", *_SEE, "create", "patch", "delete"]


def install_objects(settings: OperatorSettings, *, namespace: str = "penstock") -> tuple[Object, ...]:
    """All of it but the CRDs, in the order in which it is to be applied."""
    monitors = settings.monitors.rpartition("/")[0] if settings.monitors is not None else "none"
    given: tuple[str, ...] = ("--image", settings.image, "--prometheus", settings.prometheus, "--monitors", monitors)
    given += ("--planner-address", settings.planner_address or planner_address(namespace))
    if settings.keda_authentication is not None:
        given += ("--keda-authentication", settings.keda_authentication)
    leases = [_rule("coordination.k8s.io", ["leases"], ["get", "create", "update"])]
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": PLACEHOLDER_PRIORITY},
            "value": _PLACEHOLDER_PRIORITY,
            "preemptionPolicy": "Never",
            "description": "Pods that keep a node warm until a real one needs it.",
        },
        *_account(OPERATOR, namespace, cluster_rules=operator_rules(), own_rules=leases),
        # Of two one leads; the other takes over within seconds.
        _deployment(OPERATOR, namespace, settings, ["operator", *given, "--lease-namespace", namespace], replicas=2),
        *_account(PLANNER, namespace, cluster_rules=planner_rules()),
        _deployment(
            PLANNER, namespace, settings, ["planner", "--cluster", "--keda-listen", f"0.0.0.0:{KEDA_PORT}"], replicas=1
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": PLANNER, "namespace": namespace},
            "spec": {
                "selector": {"app.kubernetes.io/name": PLANNER},
                "ports": [{"name": "keda", "port": KEDA_PORT, "targetPort": KEDA_PORT}],
            },
        },
    )


def operator_rules() -> list[Object]:
    """What the operator may do in every namespace that it watches."""
    return [
        _rule(GROUP, ["inferencedeployments"], _SEE),
        _rule(GROUP, ["componentpools"], _WRITE),
        _rule(GROUP, ["inferencedeployments/status", "componentpools/status"], ["patch"]),
        # It makes what it makes their property, and blocks their end until that is gone.
        _rule(GROUP, ["inferencedeployments/finalizers", "componentpools/finalizers"], ["update"]),
        _rule("", ["pods"], _SEE),
        _rule("", ["services", "serviceaccounts"], _WRITE),
        _rule("apps", ["deployments", "daemonsets"], _WRITE),
        _rule("autoscaling", ["horizontalpodautoscalers"], _WRITE),
        _rule("policy", ["poddisruptionbudgets"], _WRITE),
        _rule("keda.sh", ["scaledobjects"], _WRITE),
        _rule("monitoring.coreos.com", ["podmonitors"], _WRITE),
        _rule("azmonitoring.coreos.com", ["podmonitors"], _WRITE),
        _rule(_RBAC, ["roles", "rolebindings"], _WRITE),
        _rule("discovery.k8s.io", ["endpointslices"], _SEE),  # to be able to give it to gateways
    ]


def planner_rules() -> list[Object]:
    """What the planner may do there."""
    return [
        _rule(GROUP, ["inferencedeployments", "componentpools"], _SEE),
        _rule(GROUP, ["componentpools/scale"], ["patch"]),
        _rule("", ["pods"], _SEE),
        _rule("", ["events"], ["create"]),
    ]


def _rule(group: str, resources: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _account(
    name: str, namespace: str, *, cluster_rules: list[Object], own_rules: list[Object] | None = None
) -> list[Object]:
    """A service account with rights in the whole cluster, and perhaps in its own namespace."""
    labels = {"app.kubernetes.io/name": name}
    meta = {"name": name, "namespace": namespace, "labels": labels}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]
    objects: list[Object] = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}]
    for prefix, where, rules in (
        ("Cluster", {"name": name, "labels": labels}, cluster_rules),
        ("", meta, own_rules),
    ):
        if rules is None:
            continue
        role = {"apiGroup": _RBAC, "kind": f"{prefix}Role", "name": name}
        objects += [
            {"apiVersion": f"{_RBAC}/v1", "kind": f"{prefix}Role", "metadata": where, "rules": rules},
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": f"{prefix}RoleBinding",
                "metadata": where,
                "roleRef": role,
                "subjects": subjects,
            },
        ]
    return objects


def _deployment(name: str, namespace: str, settings: OperatorSettings, args: list[str], *, replicas: int) -> Object:
    labels = {"app.kubernetes.io/name": name}
    container = {
        "name": name.removeprefix("penstock-"),
        "image": settings.image,
        "args": args,
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": replicas,
            # Two planners would write the same scales: the old one goes before the new one comes.
            "strategy": {"type": "RollingUpdate" if replicas > 1 else "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": name,
                    "containers": [container],
                    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                },
            },
        },
    }
