"""The kinds of objects that we know, as the client wants them; its own models of built-in ones are not needed."""

from functools import cache

from lightkube.generic_resource import (
    GenericGlobalResource,
    GenericNamespacedResource,
    create_global_resource,
    create_namespaced_resource,
)

Kind = type[GenericNamespacedResource]
ClusterKind = type[GenericGlobalResource]

_PLURALS = {
    ("v1", "Event"): "events",
    ("v1", "Pod"): "pods",
    ("v1", "Secret"): "secrets",
    ("v1", "Service"): "services",
    ("v1", "ServiceAccount"): "serviceaccounts",
    ("apps/v1", "DaemonSet"): "daemonsets",
    ("apps/v1", "Deployment"): "deployments",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "horizontalpodautoscalers",
    ("coordination.k8s.io/v1", "Lease"): "leases",
    ("discovery.k8s.io/v1", "EndpointSlice"): "endpointslices",
    ("keda.sh/v1alpha1", "ScaledObject"): "scaledobjects",
    ("monitoring.coreos.com/v1", "PodMonitor"): "podmonitors",
    ("azmonitoring.coreos.com/v1", "PodMonitor"): "podmonitors",
    ("penstock.dev/v1alpha1", "ComponentPool"): "componentpools",
    ("penstock.dev/v1alpha1", "InferenceDeployment"): "inferencedeployments",
    ("penstock.dev/v1alpha1", "ScalingPolicy"): "scalingpolicies",
    ("policy/v1", "PodDisruptionBudget"): "poddisruptionbudgets",
    ("rbac.authorization.k8s.io/v1", "Role"): "roles",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "rolebindings",
}
_CLUSTER_PLURALS = {
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"): "validatingwebhookconfigurations",
    ("authentication.k8s.io/v1", "SelfSubjectReview"): "selfsubjectreviews",
}


@cache
def kind_of(api_version: str, kind: str) -> Kind:
    """A kind by its two names. Raises: KeyError, for one that we do not know."""
    plural = _PLURALS[api_version, kind]
    group, _, version = api_version.rpartition("/")
    return create_namespaced_resource(group, version, kind, plural)


@cache
def cluster_kind_of(api_version: str, kind: str) -> ClusterKind:
    """As `kind_of`, of those that belong to no namespace. Raises: KeyError."""
    group, _, version = api_version.rpartition("/")
    return create_global_resource(group, version, kind, _CLUSTER_PLURALS[api_version, kind])
