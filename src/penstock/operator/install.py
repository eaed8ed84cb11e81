"""What installs the operator: its namespace, account, rights and Deployment. Pure.

The rights are those that it uses and no more: it writes only kinds that it makes, reads pods, and can give gateways
only what it may do itself (`list` and `watch` of EndpointSlices and pools).
"""

from penstock.operator.objects import GROUP, Object
from penstock.operator.settings import OperatorSettings

NAME = "penstock-operator"
_RBAC = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_WRITE = [*_READ, "create", "patch", "delete"]


def install_objects(settings: OperatorSettings, *, namespace: str = "penstock") -> tuple[Object, ...]:
    """All of it but the CRDs, in the order in which it is to be applied."""
    labels = {"app.kubernetes.io/name": NAME}
    meta = {"name": NAME, "namespace": namespace, "labels": labels}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME, "labels": labels},
            "rules": cluster_rules(),
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME, "labels": labels},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": NAME},
            "subjects": [subject],
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "Role",
            "metadata": meta,
            "rules": [_rule("coordination.k8s.io", ["leases"], ["get", "create", "update"])],
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": NAME},
            "subjects": [subject],
        },
        _deployment(meta, settings),
    )


def cluster_rules() -> list[Object]:
    """What the operator may do in every namespace that it watches."""
    return [
        _rule(GROUP, ["inferencedeployments"], _READ),
        _rule(GROUP, ["componentpools"], _WRITE),
        _rule(GROUP, ["inferencedeployments/status", "componentpools/status"], ["patch"]),
        # It makes what it makes their property, and blocks their end until that is gone.
        _rule(GROUP, ["inferencedeployments/finalizers", "componentpools/finalizers"], ["update"]),
        _rule("", ["pods"], ["list", "watch"]),
        _rule("", ["services", "serviceaccounts"], _WRITE),
        _rule("apps", ["deployments"], _WRITE),
        _rule("autoscaling", ["horizontalpodautoscalers"], _WRITE),
        _rule("policy", ["poddisruptionbudgets"], _WRITE),
        _rule("keda.sh", ["scaledobjects"], _WRITE),
        _rule("monitoring.coreos.com", ["podmonitors"], _WRITE),
        _rule("azmonitoring.coreos.com", ["podmonitors"], _WRITE),
        _rule(_RBAC, ["roles", "rolebindings"], _WRITE),
        _rule("discovery.k8s.io", ["endpointslices"], ["list", "watch"]),  # to be able to give it to gateways
    ]


def _rule(group: str, resources: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _deployment(meta: Object, settings: OperatorSettings) -> Object:
    labels = meta["labels"]
    monitors = settings.monitors.rpartition("/")[0] if settings.monitors is not None else "none"
    container = {
        "name": "operator",
        "image": settings.image,
        "args": [
            "operator",
            *("--image", settings.image, "--prometheus", settings.prometheus, "--monitors", monitors),
            *("--lease-namespace", meta["namespace"]),
        ],
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
        "metadata": meta,
        "spec": {
            "replicas": 2,  # one leads; the other takes over within seconds
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": NAME,
                    "containers": [container],
                    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                },
            },
        },
    }
