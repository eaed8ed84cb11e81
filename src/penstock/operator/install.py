"""What installs Penstock in a cluster: operator and planner, with their accounts, rights and Deployments, and the
priority of placeholders. Pure.

The rights are those that each uses and no more. The operator writes only kinds that it makes, marks pods that are to
go, and can give gateways only what it may do itself (`list` and `watch` of EndpointSlices and pools); of its webhook,
it may read and write one Secret and one configuration, by name. The planner writes scales and Events.
"""

from penstock.kubernetes.plural import plural_of
from penstock.messages.policy_spec import ScalingPolicy
from penstock.operator.objects import (
    GROUP,
    KEDA_PORT,
    PLACEHOLDER_PRIORITY,
    PLANNER,
    Object,
    object_name,
    planner_address,
)
from penstock.operator.settings import OperatorSettings
from penstock.operator.webhook.objects import CONFIGURATION, HEALTH, SECRET, webhook_objects

OPERATOR = "penstock-operator"
_RBAC = "rbac.authorization.k8s.io"
WEBHOOK_PORT = 9443
METRICS_PORT = 8080
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
    own = [
        _rule("coordination.k8s.io", ["leases"], ["get", "create", "update"]),
        _rule("", ["secrets"], ["create"]),  # a right to create can't be limited to a name
        _rule("", ["secrets"], ["get", "update"], names=[SECRET]),
    ]
    given += ("--lease-namespace", namespace, "--webhook-port", str(WEBHOOK_PORT))
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
        *_account(OPERATOR, namespace, cluster_rules=operator_rules(), own_rules=own),
        # Of two one leads; the other takes over within seconds. Both answer the webhook.
        _deployment(OPERATOR, namespace, settings, ["operator", *given], replicas=2, https=WEBHOOK_PORT),
        *webhook_objects(namespace, WEBHOOK_PORT, {"app.kubernetes.io/name": OPERATOR}),
        *_account(PLANNER, namespace, cluster_rules=planner_rules()),
        _deployment(
            PLANNER,
            namespace,
            settings,
            [
                *("planner", "--cluster"),
                *("--keda-listen", f"0.0.0.0:{KEDA_PORT}"),
                *("--metrics-port", str(METRICS_PORT)),
            ],
            replicas=1,
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
        _rule("", ["pods"], [*_SEE, "patch"]),  # who goes when a pool shrinks (`deletion_cost`)
        _rule("", ["services", "serviceaccounts"], _WRITE),
        _rule("apps", ["deployments", "daemonsets"], _WRITE),
        _rule("autoscaling", ["horizontalpodautoscalers"], _WRITE),
        _rule("policy", ["poddisruptionbudgets"], _WRITE),
        _rule("keda.sh", ["scaledobjects"], _WRITE),
        _rule("monitoring.coreos.com", ["podmonitors"], _WRITE),
        _rule("azmonitoring.coreos.com", ["podmonitors"], _WRITE),
        _rule(_RBAC, ["roles", "rolebindings"], _WRITE),
        _rule("discovery.k8s.io", ["endpointslices"], _SEE),  # to be able to give it to gateways
        _rule(GROUP, ["scalingpolicies"], _SEE),  # who else owns a count
        _rule(GROUP, ["scalingpolicies/status"], ["patch"]),
        _rule("", ["events"], ["create"]),
        _rule(
            "admissionregistration.k8s.io",
            ["validatingwebhookconfigurations"],
            ["get", "patch"],
            names=[CONFIGURATION],
        ),
    ]


def planner_rules() -> list[Object]:
    """What the planner may do there."""
    return [
        _rule(GROUP, ["inferencedeployments", "componentpools"], _SEE),
        _rule(GROUP, ["componentpools/scale"], ["patch"]),
        _rule(
            GROUP, ["scalingpolicies"], _SEE
        ),  # their targets' scales are granted by who owns these (`policy_rights`)
        _rule(GROUP, ["scalingpolicies/status"], ["patch"]),
        _rule("", ["pods"], _SEE),
        _rule("", ["events"], ["create"]),
    ]


def policy_rights(policy: ScalingPolicy, *, namespace: str, planner_namespace: str = "penstock") -> tuple[Object, ...]:
    """What a policy's planner needs beyond `planner_rules`: the scale of its one target, and to write it if it owns it.

    Args:
        namespace: of policy and target. planner_namespace: where the planner runs.
    """
    reference = policy.spec.scale_target_ref
    name = object_name("penstock-planner", policy.metadata.name)
    meta = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": PLANNER}}
    verbs = ["get", "patch"] if policy.spec.mode == "owner" else ["get"]
    group = reference.api_version.rpartition("/")[0]
    rule = _rule(group, [f"{plural_of(reference.kind)}/scale"], verbs, names=[reference.name])
    return (
        {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": PLANNER, "namespace": planner_namespace}],
        },
    )


def _rule(group: str, resources: list[str], verbs: list[str], *, names: list[str] | None = None) -> Object:
    rule: Object = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return rule if names is None else rule | {"resourceNames": names}


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


def _deployment(
    name: str, namespace: str, settings: OperatorSettings, args: list[str], *, replicas: int, https: int | None = None
) -> Object:
    labels = {"app.kubernetes.io/name": name}
    container: Object = {
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
    if https is not None:
        container["ports"] = [{"name": "https", "containerPort": https}]
        container["readinessProbe"] = {"httpGet": {"path": HEALTH, "port": "https", "scheme": "HTTPS"}}
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
