"""What the API server is told of the webhook: a Service, and what to ask about. Pure.

Every write of a scale in the cluster is asked about, since a ScalingPolicy may own any; one that is nobody's is let
through from memory. Of Deployments themselves only those that pools own are, by their label. Nothing waits longer than
`TIMEOUT_S`, and without an answer everything is let through.

Sources: ValidatingWebhookConfiguration v1; https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/
"""

from typing import Any

from penstock.operator.objects import DEPLOYMENT_LABEL, GROUP, VERSION, Object

CONFIGURATION = "penstock-one-owner"
SERVICE = SECRET = "penstock-webhook"
PATH = "/one-owner"
HEALTH = "/healthz"
TIMEOUT_S = 3
_RULES: tuple[tuple[str, list[str], list[str], list[str], list[str], Object | None], ...] = (
    ("horizontalpodautoscalers", ["autoscaling"], ["v2"], ["horizontalpodautoscalers"], ["CREATE", "UPDATE"], None),
    ("scaledobjects", ["keda.sh"], ["v1alpha1"], ["scaledobjects"], ["CREATE", "UPDATE"], None),
    ("scalingpolicies", [GROUP], [VERSION], ["scalingpolicies"], ["CREATE", "UPDATE"], None),
    ("scales", ["*"], ["*"], ["*/scale"], ["UPDATE"], None),
    ("componentpools", [GROUP], [VERSION], ["componentpools"], ["UPDATE"], None),
    (
        "deployments",
        ["apps"],
        ["v1"],
        ["deployments"],
        ["UPDATE"],
        {"matchExpressions": [{"key": DEPLOYMENT_LABEL, "operator": "Exists"}]},
    ),
)


def webhook_objects(namespace: str, port: int, selector: dict[str, str]) -> tuple[Object, ...]:
    """Service and configuration.

    Args:
        namespace: of the operator, whose pods `selector` selects and which listen on `port`.
    """
    labels = {"app.kubernetes.io/name": SERVICE}
    service = {"name": SERVICE, "namespace": namespace, "path": PATH, "port": port}
    return (
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE, "namespace": namespace, "labels": labels},
            "spec": {"selector": selector, "ports": [{"name": "https", "port": port, "targetPort": port}]},
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": CONFIGURATION, "labels": labels},
            "webhooks": [_webhook(*rule, service=service) for rule in _RULES],
        },
    )


def _webhook(
    name: str,
    groups: list[str],
    versions: list[str],
    resources: list[str],
    operations: list[str],
    objects: Object | None,
    *,
    service: Object,
) -> Object:
    made: dict[str, Any] = {
        "name": f"{name}.one-owner.{GROUP}",
        # No authority yet: the operator writes it, and until then nothing is asked in vain for long.
        "clientConfig": {"service": service},
        "rules": [
            {
                "apiGroups": groups,
                "apiVersions": versions,
                "resources": resources,
                "operations": operations,
                "scope": "Namespaced",
            }
        ],
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_S,
        "admissionReviewVersions": ["v1"],
    }
    return made | ({"objectSelector": objects} if objects else {})


def server_names(namespace: str) -> tuple[str, ...]:
    """By which the API server calls it."""
    return f"{SERVICE}.{namespace}.svc", f"{SERVICE}.{namespace}.svc.cluster.local"
