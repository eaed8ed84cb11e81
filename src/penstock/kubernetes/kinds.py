"""The kinds of objects that we know, as the client wants them; its own models of built-in ones are not needed."""

from functools import cache

from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource

Kind = type[GenericNamespacedResource]

_PLURALS = {
    ("v1", "Event"): "events",
    ("v1", "Pod"): "pods",
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
    ("policy/v1", "PodDisruptionBudget"): "poddisruptionbudgets",
    ("rbac.authorization.k8s.io/v1", "Role"): "roles",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "rolebindings",
}


@cache
def kind_of(api_version: str, kind: str) -> Kind:
    """A kind by its two names. Raises: KeyError, for one that we do not know."""
    plural = _PLURALS[api_version, kind]
    group, _, version = api_version.rpartition("/")
    return create_namespaced_resource(group, version, kind, plural)
