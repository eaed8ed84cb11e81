"""All that the operator would apply for a deployment, without a cluster. Pure."""

from penstock.messages.pool_spec import PoolBody
from penstock.messages.spec import InferenceDeployment
from penstock.operator.desired.deployment import deployment_objects
from penstock.operator.desired.pool import pool_objects
from penstock.operator.objects import Object
from penstock.operator.settings import OperatorSettings


def rendered(deployment: InferenceDeployment, namespace: str, settings: OperatorSettings) -> tuple[Object, ...]:
    """The deployment's objects, then each pool's, as at the beginning. Raises: InputError."""
    objects = list(deployment_objects(deployment, namespace=namespace, settings=settings))
    for made in tuple(objects):
        if made["kind"] == "ComponentPool":
            body = PoolBody.model_validate(made["spec"], by_alias=True, by_name=False)
            objects += pool_objects(made["metadata"]["name"], namespace, deployment.metadata.name, body, settings)
    return tuple(objects)
