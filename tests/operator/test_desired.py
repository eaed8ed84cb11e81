"""What is to exist for a deployment."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from penstock.cli.main import build
from penstock.errors import InputError
from penstock.messages.observation import Signal
from penstock.messages.spec import ComponentSpec, DeploymentBody, InferenceDeployment, Metadata
from penstock.operator.desired.autoscaler import quantity
from penstock.operator.desired.deployment import first_replicas
from penstock.operator.desired.merge import merged
from penstock.operator.objects import Object, object_name
from penstock.operator.reachable import asks_external, made_blindly
from penstock.operator.render import rendered
from penstock.operator.settings import OperatorSettings
from penstock.telemetry.queries import query
from spec_corpus import RIGHT

SETTINGS = OperatorSettings()


def _rendered(spec: dict[str, Any], name: str = "d") -> tuple[Object, ...]:
    body = DeploymentBody.model_validate(spec, by_alias=True, by_name=False)
    deployment = InferenceDeployment(
        api_version="penstock.dev/v1alpha1", kind="InferenceDeployment", metadata=Metadata(name=name), spec=body
    )
    return rendered(deployment, "ns", SETTINGS)


def _one(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    (found,) = [made for made in objects if made["kind"] == kind and made["metadata"]["name"] == name]
    return found


def _with(component: dict[str, Any], **more: Any) -> dict[str, Any]:
    return RIGHT["smallest"] | {"components": [component], **more}


@pytest.mark.parametrize("name", sorted(RIGHT.keys() - {"warm nodes by the planner"}))
def test_names_are_unique_by_kind_and_everything_is_labelled(name: str) -> None:
    objects = _rendered(RIGHT[name])
    names = [(made["kind"], made["metadata"]["name"]) for made in objects]
    assert len(set(names)) == len(names)
    for made in objects:
        assert made["metadata"]["namespace"] == "ns"
        assert made["metadata"]["labels"]["penstock.dev/deployment"] == "d"


@pytest.mark.parametrize("name", sorted(RIGHT.keys() - {"warm nodes by the planner"}))
def test_a_service_and_a_budget_select_exactly_the_pods_of_their_component(name: str) -> None:
    objects = _rendered(RIGHT[name])
    for made in objects:
        if made["kind"] == "Deployment" and "penstock.dev/component" in made["metadata"]["labels"]:
            labels = made["spec"]["template"]["metadata"]["labels"]
            selector = made["spec"]["selector"]["matchLabels"]
            assert selector.items() <= labels.items()
            assert _one(objects, "Service", made["metadata"]["name"])["spec"]["selector"] == selector
            budget = _one(objects, "PodDisruptionBudget", made["metadata"]["name"])
            assert budget["spec"]["selector"]["matchLabels"] == selector


def test_the_grace_period_covers_the_drain() -> None:
    """preStop, then the drain, then some seconds for the process; less would kill requests."""
    objects = _rendered(_with({"name": "worker", "role": "worker", "engine": {"drainTimeoutSeconds": 300}}))
    pod = _one(objects, "Deployment", "d-worker")["spec"]["template"]["spec"]
    pre_stop_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > 300 + pre_stop_s


def test_a_pool_that_somebody_scales_is_applied_without_replicas() -> None:
    """Else each apply would take the count back from its owner."""
    for owner in ("planner", "hpa", "keda", "external"):
        objects = _rendered(RIGHT[owner])
        assert "replicas" not in _one(objects, "ComponentPool", "d-worker")["spec"], owner
    assert _one(_rendered(RIGHT["smallest"]), "ComponentPool", "d-worker")["spec"]["replicas"] == 1


def test_a_new_pool_begins_with_what_the_file_says() -> None:
    component = ComponentSpec.model_validate(
        {"name": "w", "role": "worker", "replicas": 3, "autoscaling": {"by": "external"}}
    )
    assert first_replicas(component) == 3


def test_there_is_one_autoscaler_and_it_scales_the_pool() -> None:
    """Two who write one count is how pools flap; an HPA on the Deployment would fight the pool."""
    kinds = {"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject"}
    for owner in ("planner", "hpa", "keda", "external", "smallest"):
        made = [item for item in _rendered(RIGHT[owner]) if item["kind"] in kinds.values()]
        assert [item["kind"] for item in made] == ([kinds[owner]] if owner in kinds else [])
        for item in made:
            assert item["spec"]["scaleTargetRef"] == {
                "apiVersion": "penstock.dev/v1alpha1", "kind": "ComponentPool", "name": "d-worker",
            }  # fmt: skip


def test_gpus_come_with_their_node_and_their_toleration() -> None:
    """AKS taints GPU nodes; a pod that does not tolerate it stays pending for ever."""
    pod = _one(_rendered(RIGHT["GPUs and a profile"]), "Deployment", "d-worker")["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"node.kubernetes.io/instance-type": "Standard_NC40ads_H100_v5"}
    assert {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"} in pod["tolerations"]


def test_only_gateways_may_ask_the_api_server() -> None:
    objects = _rendered(RIGHT["apart"])
    for name, may in (("d-frontend", True), ("d-prefill", False), ("d-decode", False)):
        pod = _one(objects, "Deployment", name)["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is may
        assert ("serviceAccountName" in pod) is may
    rules = _one(objects, "Role", "d-gateway")["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list", "watch"}


def test_a_users_template_goes_over_ours_and_does_not_unselect_the_pods() -> None:
    template = {
        "metadata": {"labels": {"team": "a", "penstock.dev/component": "other"}},
        "spec": {
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "containers": [
                {"name": "engine", "resources": {"limits": {"memory": "8Gi"}}},
                {"name": "sidecar", "image": "s"},
            ],
        },
    }
    objects = _rendered(_with({"name": "worker", "role": "worker", "pod": {"template": template}}))
    made = _one(objects, "Deployment", "d-worker")["spec"]["template"]
    assert made["metadata"]["labels"]["team"] == "a"
    assert made["metadata"]["labels"]["penstock.dev/component"] == "worker"
    engine, sidecar = made["spec"]["containers"]
    assert engine["resources"]["limits"] == {"memory": "8Gi"}
    assert engine["resources"]["requests"]["cpu"] == "500m"
    assert sidecar == {"name": "sidecar", "image": "s"}


def test_merging_changes_neither_side() -> None:
    ours, theirs = {"a": {"b": 1}, "l": [1]}, {"a": {"c": 2}, "l": [2]}
    assert merged(ours, theirs) == {"a": {"b": 1, "c": 2}, "l": [2]}
    assert (ours, theirs) == ({"a": {"b": 1}, "l": [1]}, {"a": {"c": 2}, "l": [2]})


def test_long_names_stay_within_a_label_and_apart() -> None:
    first, second = (object_name("d" * 60, f"component-{number}") for number in (1, 2))
    assert len(first) <= 63
    assert first != second


def test_sglang_behind_prefill_and_decode_is_refused() -> None:
    spec = RIGHT["apart"] | {
        "components": [
            {"name": "prefill", "role": "prefill", "engine": {"type": "sglang"}},
            {"name": "decode", "role": "decode"},
        ]
    }
    with pytest.raises(InputError, match="sglang with role prefill"):
        _rendered(spec)


@pytest.mark.parametrize(("value", "text"), [(16, "16"), (0.3, "300m"), (0.0125, "12m"), (1.5, "1500m")])
def test_quantities_are_kubernetes_own(value: float, text: str) -> None:
    assert quantity(value) == text


@pytest.mark.parametrize("at_gateway", [False, True])
def test_every_query_is_filtered_to_one_deployment_and_never_nan(at_gateway: bool) -> None:
    """An unfiltered query mixes deployments; of no traffic a quantile is NaN, on which KEDA scales."""
    for signal in Signal:
        made = query(signal, namespace="ns", deployment="d", component="c", at_gateway=at_gateway)
        if made is None:
            assert signal in (Signal.CPU, Signal.LEAD_TIME)
            continue
        assert made.count("{") == made.count('namespace="ns",penstock_dev_deployment="d"')
        if "quantile" in made or "/" in made:
            assert made.endswith(" >= 0")


def test_a_worker_understands_the_flags_that_a_pod_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field of a simulated engine crosses from the spec to the process in the pod."""
    from penstock.messages.engine_spec import EngineSpec
    from penstock.worker.settings import WorkerSettings

    engine = {
        "maxNumSeqs": 7, "maxNumBatchedTokens": 512, "maxModelLen": 4096, "blockTokens": 32, "kvBlocks": 999,
        "stepTime": {
            "baseSeconds": 0.001, "prefillTokenSeconds": 1e-5, "prefillAttentionSeconds": 1e-10,
            "sequenceSeconds": 3e-5, "contextTokenSeconds": 2e-8, "prefillStepSeconds": 0.002, "expertsSeconds": 0.003,
            "expertShare": 0.1,
        },
        "kvTransfer": {"latencySeconds": 0.004, "tokensPerSecond": 1e5},
        "drainTimeoutSeconds": 77.0,
    }  # fmt: skip
    objects = _rendered(_with({"name": "worker", "role": "worker", "engine": engine}))
    container = _one(objects, "Deployment", "d-worker")["spec"]["template"]["spec"]["containers"][0]
    seen: list[WorkerSettings] = []
    monkeypatch.setattr("penstock.worker.process.serve", lambda settings: seen.append(settings) or 0)
    result = CliRunner().invoke(build(["worker", "gateway"]), container["args"])
    assert result.exit_code == 0, result.output
    assert seen[0].engine == EngineSpec.model_validate(engine, by_alias=True, by_name=False)
    assert seen[0].model == "m"
    assert seen[0].kv_events == "tcp://$(POD_IP):5557"


def test_rendered_yaml_reads_back_as_it_was(tmp_path: Any) -> None:
    """Anchors and aliases are valid YAML that people do not want to read."""
    file = tmp_path / "d.yaml"
    document = {
        "apiVersion": "penstock.dev/v1alpha1", "kind": "InferenceDeployment", "metadata": {"name": "d"},
        "spec": RIGHT["hpa"] | {"components": [dict(component) for component in RIGHT["hpa"]["components"]]},
    }  # fmt: skip
    file.write_text(yaml.safe_dump(document))
    result = CliRunner().invoke(build(["render", "schema"]), ["render", str(file), "--namespace", "ns"])
    assert result.exit_code == 0, result.output
    assert "&id" not in result.stdout
    assert tuple(yaml.safe_load_all(result.stdout)) == _rendered(RIGHT["hpa"])


def test_what_render_is_told_reaches_the_objects() -> None:
    """Azure Managed Prometheus wants a token of KEDA."""
    example = str(Path(__file__).parents[2] / "examples" / "keda.yaml")
    told = ["--keda-authentication", "azure", "--prometheus", "https://prometheus.example", "--json"]
    result = CliRunner().invoke(build(["render", "schema"]), ["render", example, "--for", "keda", *told])
    (trigger,) = json.loads(result.stdout)[0]["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": "azure"}
    assert trigger["metadata"]["serverAddress"] == "https://prometheus.example"
    result = CliRunner().invoke(build(["render", "schema"]), ["render", "--for", "operator", *told])
    operator = next(made for made in json.loads(result.stdout) if made["kind"] == "Deployment")
    args = operator["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[args.index("--keda-authentication") + 1] == "azure"


def test_a_scaled_object_that_asks_the_planner_holds_nothing_back_itself() -> None:
    """No query, window, cool-down or rate: those are the planner's. It is pushed to, and its fallback is KEDA's."""
    made = _one(_rendered(RIGHT["keda asks the planner"]), "ScaledObject", "d-worker")["spec"]
    (trigger,) = made["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("external-push", "AverageValue")
    assert trigger["metadata"] == {"scalerAddress": "penstock-planner.penstock.svc:6000"}
    assert (made["minReplicaCount"], made["maxReplicaCount"], made["cooldownPeriod"]) == (0, 4, 0)
    assert made["fallback"]["replicas"] == 2
    for way in made["advanced"]["horizontalPodAutoscalerConfig"]["behavior"].values():
        assert way["stabilizationWindowSeconds"] == 0
        assert way["policies"][0]["value"] >= 4


def test_keda_is_told_where_the_planner_is_installed() -> None:
    for told, address in (([], "penstock-planner.mine.svc:6000"), (["--planner-address", "other:1"], "other:1")):
        asked = ["render", "--for", "operator", "--namespace", "mine", "--json", *told]
        objects = tuple(json.loads(CliRunner().invoke(build(["render", "schema"]), asked).stdout))
        operator = _one(objects, "Deployment", "penstock-operator")["spec"]["template"]["spec"]["containers"][0]["args"]
        assert operator[operator.index("--planner-address") + 1] == address
        planner = _one(objects, "Deployment", "penstock-planner")["spec"]["template"]["spec"]["containers"][0]["args"]
        (port,) = _one(objects, "Service", "penstock-planner")["spec"]["ports"]
        assert planner[planner.index("--keda-listen") + 1] == f"0.0.0.0:{port['port']}"


def test_an_hpa_that_keda_made_while_nobody_answered_is_known() -> None:
    """Kubernetes gives one without metrics 80 % of CPU."""
    cpu = {"type": "Resource", "resource": {"name": "cpu"}}
    asked = {"type": "External", "external": {"metric": {"name": "s0-replicas"}}}
    assert made_blindly({"spec": {}})
    assert made_blindly({"spec": {"metrics": [cpu]}})
    assert not made_blindly({"spec": {"metrics": [asked]}})
    objects = [_one(_rendered(RIGHT[owner]), "ScaledObject", "d-worker") for owner in ("keda asks the planner", "keda")]
    assert [asks_external(one) for one in objects] == [True, False]
