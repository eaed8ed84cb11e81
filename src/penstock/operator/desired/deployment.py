"""Everything that an InferenceDeployment owns: its ComponentPools, the rights of its gateways, warm capacity.
Pure.

The number of pods is no part of a pool as it is applied again and again: it is stated once, when the pool is made, and
then belongs to whoever owns the scale (`first_replicas`). Only `by: none` keeps it to the file.
"""

from penstock.messages.pool_spec import PoolBody
from penstock.messages.scaling_spec import NoScaling
from penstock.messages.spec import ComponentSpec, InferenceDeployment
from penstock.messages.worker import Role
from penstock.operator.desired.pool import service_account_of
from penstock.operator.desired.warm import warm_objects
from penstock.operator.objects import API_VERSION, GROUP, Object, common_labels, metadata, object_name
from penstock.operator.settings import OperatorSettings


def deployment_objects(
    deployment: InferenceDeployment, *, namespace: str, settings: OperatorSettings
) -> tuple[Object, ...]:
    """What is to exist for a deployment. Raises: InputError, as `warm_objects`."""
    objects: list[Object] = []
    if any(component.role is Role.FRONTEND for component in deployment.spec.components):
        objects += _gateway_rights(deployment.metadata.name, namespace)
    bodies = {part.name: _body(deployment, part) for part in deployment.spec.components}
    objects += [_pool(deployment, body, namespace) for body in bodies.values()]
    objects += warm_objects(deployment, bodies, namespace=namespace, settings=settings)
    return tuple(objects)


def first_replicas(component: ComponentSpec) -> int | None:
    """What a new pool begins with, where somebody scales it from then on; None where the file itself says it always."""
    return None if _fixed(component) else component.initial_replicas


def pool_name(deployment: str, component: str) -> str:
    """The name of a component's pool and of all its objects."""
    return object_name(deployment, component)


def _fixed(component: ComponentSpec) -> bool:
    scaling = component.autoscaling
    return isinstance(scaling, NoScaling) and scaling.by == "none"


def _body(deployment: InferenceDeployment, component: ComponentSpec) -> PoolBody:
    spec = deployment.spec
    return PoolBody(model=spec.model, slo=spec.slo, routing=spec.routing, component=component)


def _pool(deployment: InferenceDeployment, body: PoolBody, namespace: str) -> Object:
    component = body.component
    spec = body.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if component.role is not Role.FRONTEND or not spec["routing"]:
        spec.pop("routing")  # engines do not route
    if _fixed(component):
        spec["replicas"] = component.initial_replicas
    name = deployment.metadata.name
    return {
        "apiVersion": API_VERSION,
        "kind": "ComponentPool",
        "metadata": metadata(pool_name(name, component.name), namespace, common_labels(name, component.name)),
        "spec": spec,
    }


def _gateway_rights(name: str, namespace: str) -> list[Object]:
    """A gateway watches who serves, in its own namespace, and may do nothing else."""
    account = service_account_of(name)
    meta = metadata(account, namespace, common_labels(name))
    rules = [
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        {"apiGroups": [GROUP], "resources": ["componentpools"], "verbs": ["list", "watch"]},
    ]
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    ]
