"""What keeps nodes warm."""

from typing import Any

import pytest

from penstock.errors import InputError
from penstock.messages.spec import DeploymentBody, InferenceDeployment, Metadata
from penstock.operator.install import install_objects
from penstock.operator.objects import Object
from penstock.operator.render import rendered
from penstock.operator.settings import OperatorSettings

TWO_GPUS, EIGHT_GPUS = "Standard_NC80adis_H100_v5", "Standard_ND96isr_H100_v5"


def pool(role: str, size: str | None, **more: Any) -> dict[str, Any]:
    gpu = {"gpu": {"vmSize": size}} if size is not None else {}
    return {"name": role, "role": role, "engine": {"type": "vllm"}} | gpu | more


def made(*components: dict[str, Any], nodes: Any = 3, model: str = "org/model") -> dict[tuple[str, str], Object]:
    spec = {
        "model": {"name": model},
        "slo": {"ttftSeconds": 1, "itlSeconds": 0.1},
        "components": list(components),
        "warmCapacity": {"nodes": nodes},
    }
    body = DeploymentBody.model_validate(spec, by_alias=True, by_name=False)
    deployment = InferenceDeployment(
        api_version="penstock.dev/v1alpha1", kind="InferenceDeployment", metadata=Metadata(name="d"), spec=body
    )
    objects = rendered(deployment, "ns", OperatorSettings())
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def test_placeholders_hold_whole_nodes_of_each_vm_size_where_the_pools_would_run() -> None:
    """One set a VM size, however many pools share it; at a size that nobody knows, what a replica takes."""
    tolerated = {"template": {"spec": {"tolerations": [{"key": "ours", "operator": "Exists"}]}}}
    objects = made(pool("prefill", TWO_GPUS, pod=tolerated), pool("decode", TWO_GPUS))
    held = {name: one["spec"] for (kind, name), one in objects.items() if name.startswith("d-warm-")}
    assert list(held) == ["d-warm-standard-nc80adis-h100-v5"]
    (spec,) = held.values()
    pod = spec["template"]["spec"]
    assert spec["replicas"] == 3
    assert pod["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": "2"}}
    assert pod["nodeSelector"] == {"node.kubernetes.io/instance-type": TWO_GPUS}
    assert pod["tolerations"] == [{"key": "ours", "operator": "Exists"}]
    unknown = made(pool("worker", "Standard_New", gpu={"vmSize": "Standard_New", "count": 4}))
    (container,) = unknown["Deployment", "d-warm-standard-new"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"nvidia.com/gpu": "4"}}


def test_no_pool_service_or_budget_takes_a_placeholder_for_its_own() -> None:
    objects = made(pool("worker", EIGHT_GPUS))
    extra = [one["spec"]["template"]["metadata"]["labels"] for (_, name), one in objects.items() if "warm" in str(one)]
    assert len(extra) >= 2
    for kind, field in (("Service", "selector"), ("PodDisruptionBudget", "selector"), ("Deployment", "selector")):
        chosen = objects[kind, "d-worker"]["spec"][field]
        chosen = chosen.get("matchLabels", chosen)
        assert not any(chosen.items() <= labels.items() for labels in extra if labels.get("penstock.dev/warm"))


def test_placeholders_give_way_to_any_pod_and_still_bring_nodes() -> None:
    """The cluster autoscaler ignores what is below -10."""
    (priority,) = [one for one in install_objects(OperatorSettings()) if one["kind"] == "PriorityClass"]
    assert -10 <= priority["value"] < 0
    assert priority["preemptionPolicy"] == "Never"
    placeholder = made(pool("worker", TWO_GPUS))["Deployment", "d-warm-standard-nc80adis-h100-v5"]
    spec = placeholder["spec"]["template"]["spec"]
    assert spec["priorityClassName"] == priority["metadata"]["name"]
    assert spec["terminationGracePeriodSeconds"] == 0


def test_a_pools_image_sleeps_on_its_nodes_with_the_pools_own_secrets_and_no_gpu() -> None:
    secret = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
    template = {"spec": {"imagePullSecrets": [{"name": "ours"}], "containers": [{"name": "engine", "env": [secret]}]}}
    objects = made(pool("worker", TWO_GPUS, pod={"image": "ours/engine:1", "template": template}))
    spec = objects["DaemonSet", "d-worker-image"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert (container["image"], container["command"]) == ("ours/engine:1", ["sleep", "infinity"])
    assert secret in container["env"]
    assert spec["imagePullSecrets"] == [{"name": "ours"}]
    assert not container.keys() & {"args", "ports", "readinessProbe", "lifecycle"}
    assert "nvidia.com/gpu" not in str(container["resources"])


@pytest.mark.parametrize(("model", "fetches"), [("org/model", True), ("/models/mine", False)])
def test_weights_are_fetched_into_the_folder_that_engines_read(model: str, fetches: bool) -> None:
    """Unless they are a path, of a volume that the user brings."""
    objects = made(pool("worker", TWO_GPUS, pod={"cachePath": "/mnt/weights"}), model=model)
    engine = objects["Deployment", "d-worker"]["spec"]["template"]["spec"]
    puller = objects["DaemonSet", "d-worker-image"]["spec"]["template"]["spec"]
    for spec in (engine, puller):
        on_node = {"name": "weights", "hostPath": {"path": "/mnt/weights", "type": "DirectoryOrCreate"}}
        assert on_node in spec["volumes"]
        assert {"name": "weights", "mountPath": "/weights"} in spec["containers"][0]["volumeMounts"]
        assert {"name": "HF_HOME", "value": "/weights"} in spec["containers"][0]["env"]
    command = puller["containers"][0]["command"]
    assert (command[0] == "python3" and command[-1] == model) is fetches


def test_what_cannot_be_kept_warm_is_refused_in_one_line_and_nothing_kept_is_nothing_made() -> None:
    with pytest.raises(InputError, match=r"spec\.warmCapacity\.nodes: auto"):
        made(pool("worker", TWO_GPUS), nodes="auto")
    with pytest.raises(InputError, match=r"spec\.warmCapacity: no component has a gpu"):
        made(pool("worker", None))
    assert not [name for _, name in made(pool("worker", TWO_GPUS), nodes=0) if name not in ("d-worker", "d-gateway")]
