"""The pod template of a component: container, GPUs, probes, and an end that loses nothing. Pure.

The end of a pod, in order: its EndpointSlice says that it terminates, and gateways send it nothing new; `preStop`
waits for that to get around; SIGTERM lets the engine finish what it has, for `drainTimeoutSeconds`; only then it is
killed. So the grace period is derived from these.

`/health` says that the process lives. That it can serve is for the gateway to find out, by a real completion.
"""

from penstock.messages.pool_spec import PoolBody
from penstock.messages.spec import ComponentSpec
from penstock.messages.worker import Role
from penstock.operator.desired.engines import HTTP_PORT, Launch, launch
from penstock.operator.desired.merge import merged
from penstock.operator.objects import ROLE_LABEL, Object, common_labels, selector_labels
from penstock.operator.settings import OperatorSettings

PRE_STOP_S = 5  # EndpointSlices reach gateways within a second or two; kube-proxy's rules are no slower
GRACE_MARGIN_S = 10  # for the process itself to end
STARTUP_PROBE_S = 5
WEIGHTS_VOLUME, WEIGHTS_PATH = "weights", "/weights"
STARTUP_LIMIT_S = 3600  # a model of hundreds of GB from a slow store; after that the container is started anew


def pod_template(
    deployment: str, pool: PoolBody, settings: OperatorSettings, *, service_account: str | None = None
) -> Object:
    """The template of a deployment's component. Raises: InputError, as `launch`."""
    component = pool.component
    is_gateway = component.role is Role.FRONTEND
    started = _gateway(deployment, pool, settings) if is_gateway else launch(pool.model, component, settings)
    grace_s = PRE_STOP_S + round(component.engine.drain_timeout_s) + GRACE_MARGIN_S
    spec: Object = {
        "terminationGracePeriodSeconds": grace_s,
        "containers": [_container(component, started)],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": is_gateway,
    }
    if service_account is not None:
        spec["serviceAccountName"] = service_account
    if component.gpu is not None:
        spec |= _placement(component.gpu.vm_size)
    if component.engine.type != "simulated" and not is_gateway:
        spec["volumes"] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
        if component.pod.cache_path is not None:
            on_node = {"path": component.pod.cache_path, "type": "DirectoryOrCreate"}
            spec["volumes"].append({"name": WEIGHTS_VOLUME, "hostPath": on_node})
    labels = common_labels(deployment, component.name) | {ROLE_LABEL: component.role.value}
    ours: Object = merged({"metadata": {"labels": labels}, "spec": spec}, component.pod.template)
    ours["metadata"]["labels"] |= selector_labels(deployment, component.name)  # what selects it is not for others
    return ours


def _container(component: ComponentSpec, started: Launch) -> Object:
    is_gateway = component.role is Role.FRONTEND
    is_real = component.engine.type != "simulated" and not is_gateway
    caches = {"HF_HOME": WEIGHTS_PATH} if is_real and component.pod.cache_path is not None else {}
    env = [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        *({"name": name, "value": value} for name, value in (started.env | caches | component.pod.env).items()),
    ]
    health = {"httpGet": {"path": "/health", "port": "http"}}
    # A gateway is well while it answers at all: with nobody behind it, it holds requests until there is somebody.
    ready = {"httpGet": {"path": "/metrics", "port": "http"}} if is_gateway else health
    container: Object = {
        "name": "gateway" if is_gateway else "engine",
        "image": component.pod.image or started.image,
        **({"command": list(started.command)} if started.command else {}),
        "args": [*started.args, *component.pod.args],
        "env": env,
        "ports": [{"name": name, "containerPort": port} for name, port in started.ports.items()],
        "startupProbe": {
            **ready,
            "periodSeconds": STARTUP_PROBE_S,
            "timeoutSeconds": 2,
            "failureThreshold": STARTUP_LIMIT_S // STARTUP_PROBE_S,
        },
        "readinessProbe": {**ready, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3},
        "livenessProbe": {**ready, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_S}}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if component.gpu is not None:
        container["resources"] = {"limits": {"nvidia.com/gpu": str(component.gpu.count)}}
    elif is_gateway or component.engine.type == "simulated":
        container["resources"] = {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    if is_real:
        container["volumeMounts"] = [{"name": "shm", "mountPath": "/dev/shm"}]
        if caches:
            container["volumeMounts"].append({"name": WEIGHTS_VOLUME, "mountPath": WEIGHTS_PATH})
    return container


def _gateway(deployment: str, pool: PoolBody, settings: OperatorSettings) -> Launch:
    model, slo, routing = pool.model, pool.slo, pool.routing
    tokenizer = ("--tokenizer", model.tokenizer) if model.tokenizer is not None else ()
    return Launch(
        image=settings.image,
        args=(
            "gateway",
            *("--host", "$(POD_IP)", "--port", str(HTTP_PORT)),
            *("--deployment", deployment, "--namespace", "$(POD_NAMESPACE)"),
            *("--model", model.name),
            *tokenizer,
            *("--routing", routing.policy),
            *("--ttft-s", repr(slo.ttft_s), "--itl-s", repr(slo.itl_s)),
            *("--hold-max", str(routing.max_held_requests), "--hold-timeout-s", repr(routing.hold_timeout_s)),
            *("--grace-s", repr(pool.component.engine.drain_timeout_s)),
        ),
        env={},
        ports={"http": HTTP_PORT},
    )


def _placement(vm_size: str) -> Object:
    """On nodes of this VM size, whose GPUs AKS taints so that nothing else lands there."""
    return {
        "nodeSelector": {"node.kubernetes.io/instance-type": vm_size},
        "tolerations": [
            {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        ],
    }
