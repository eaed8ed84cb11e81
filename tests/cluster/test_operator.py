"""The operator against a real control plane, with real gateways and engines as pods."""

import time
from collections.abc import Callable

import pytest
from api_client import fetch
from audit import writes
from control_plane import ControlPlane
from deployments import (
    GROUP,
    NODE,
    PENSTOCK,
    apply,
    complaint,
    custom,
    deployment,
    gateway_of,
    gone,
    is_as_rendered,
    is_ready,
    worker,
)
from machine_set import MachineSet
from running_operator import Running, as_account, install_accounts, planner
from steady_load import Load
from test_definitions import defined as defined

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes

Machines = Callable[..., MachineSet]


def test_a_deployment_becomes_ready_and_answers(
    defined: ControlPlane, machines: Machines, operator: Running, space: str
) -> None:
    """Applied, it serves: gateways find their workers by EndpointSlices, and a request comes back with tokens."""
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    apply(defined, space, deployment(worker(replicas=2), kubeconfig=str(defined.kubeconfig)))
    defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
    status = custom(defined, space, "inferencedeployments", "d")["status"]
    assert status["ready"] == "2/2"
    assert {each["name"]: each["ready"] for each in status["components"]} == {"frontend": 1, "worker": 2}
    assert "penstock/tiny" in fetch(defined.namespace, f"{gateway_of(defined, space)}/v1/models")[1]


def test_what_is_rendered_is_what_the_operator_makes(defined: ControlPlane, operator: Running, space: str) -> None:
    """All of it, and what a profile says of an engine too; a profile that no cluster has is told in the status."""
    measured = {"engine": {"profile": "shipped"}, "gpu": {"vmSize": "Standard_NC40ads_H100_v5", "count": 1}}
    thing = deployment(worker(autoscaling={"by": "external"}, **measured), kubeconfig="none")
    thing["spec"]["model"]["name"] = "Qwen/Qwen3-0.6B"
    apply(defined, space, thing)
    defined.until(lambda: is_as_rendered(defined, space, thing))
    pool = custom(defined, space, "componentpools", "d-worker")["spec"]
    assert pool["component"]["engine"]["stepTime"]["baseSeconds"] > 0
    thing["spec"]["components"][1]["engine"]["profile"] = "mine.json"
    apply(defined, space, thing)
    defined.until(lambda: "no profile 'mine.json'" in complaint(custom(defined, space, "inferencedeployments", "d")))


def test_a_pool_is_scaled_by_whoever_owns_it_and_by_nobody_else(
    defined: ControlPlane, operator: Running, space: str
) -> None:
    """The operator states the first count and never again, whatever else of the deployment changes."""
    thing = deployment(worker(replicas=2, autoscaling={"by": "external"}))
    apply(defined, space, thing)
    defined.until(lambda: custom(defined, space, "componentpools", "d-worker")["spec"].get("replicas") == 2)
    defined.kubectl("-n", space, "scale", "componentpool/d-worker", "--replicas=5")
    path = f"/apis/apps/v1/namespaces/{space}/deployments/d-worker"
    defined.until(lambda: defined.api.get(path)["spec"]["replicas"] == 5)
    thing["spec"]["slo"]["ttftSeconds"] = 0.7
    apply(defined, space, thing)
    defined.until(lambda: custom(defined, space, "componentpools", "d-worker")["spec"]["slo"]["ttftSeconds"] == 0.7)
    assert custom(defined, space, "componentpools", "d-worker")["spec"]["replicas"] == 5
    assert defined.api.get(path)["spec"]["replicas"] == 5


def test_with_nobody_to_scale_it_the_file_rules(defined: ControlPlane, operator: Running, space: str) -> None:
    apply(defined, space, deployment(worker(replicas=2)))
    path = f"/apis/apps/v1/namespaces/{space}/deployments/d-worker"
    defined.until(lambda: defined.api.get(path)["spec"]["replicas"] == 2)
    apply(defined, space, deployment(worker(replicas=3)))
    defined.until(lambda: defined.api.get(path)["spec"]["replicas"] == 3)


def test_what_somebody_deletes_or_bends_comes_back_and_what_others_add_stays(
    defined: ControlPlane, operator: Running, space: str
) -> None:
    apply(defined, space, deployment(worker()))
    path = f"/apis/apps/v1/namespaces/{space}/deployments/d-worker"
    service = f"/api/v1/namespaces/{space}/services/d-worker"
    uid = defined.until(lambda: defined.api.get(path)["metadata"]["uid"])
    defined.until(lambda: defined.api.get(service))
    defined.api.patch(path, {"metadata": {"annotations": {"team": "a"}}})
    defined.api.patch(path, {"spec": {"progressDeadlineSeconds": 7}})
    defined.until(lambda: defined.api.get(path)["spec"]["progressDeadlineSeconds"] == 3600)
    assert defined.api.get(path)["metadata"]["annotations"]["team"] == "a"
    defined.api.delete(service)
    defined.until(lambda: defined.api.get(service))
    defined.api.delete(path)
    defined.until(lambda: defined.api.get(path)["metadata"]["uid"] != uid)


def test_a_cluster_without_monitors_or_keda_gets_all_the_rest(defined: ControlPlane, space: str) -> None:
    """Nobody reads a PodMonitor there, which is no trouble; a ScaledObject that nobody acts on is, and is told."""
    running = Running(defined, space, "--monitors", "monitoring.coreos.com")
    try:
        trigger = {"metric": "queue_requests", "threshold": 4}
        by_keda = {"by": "keda", "max": 3, "triggers": [trigger]}
        apply(defined, space, deployment(worker(autoscaling=by_keda)))
        defined.until(lambda: defined.api.get(f"/apis/apps/v1/namespaces/{space}/deployments/d-worker"))

        def told(pool: str) -> str:
            return complaint(custom(defined, space, "componentpools", pool))

        assert defined.until(lambda: told("d-worker")).startswith("ScaledObject d-worker: the cluster does not know")
        assert told("d-frontend") == ""
    finally:
        running.kill()


def test_a_change_of_owner_takes_the_old_autoscaler_away(defined: ControlPlane, operator: Running, space: str) -> None:
    hpa = f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/d-worker"
    apply(defined, space, deployment(worker(autoscaling={"by": "hpa", "max": 3, "cpuPercent": 70})))
    assert defined.until(lambda: defined.api.get(hpa))["spec"]["scaleTargetRef"]["kind"] == "ComponentPool"
    apply(defined, space, deployment(worker(autoscaling={"by": "external"})))
    defined.until(lambda: gone(defined, hpa))


def test_a_deleted_deployment_takes_everything_with_it(defined: ControlPlane, operator: Running, space: str) -> None:
    apply(defined, space, deployment(worker()))
    path = f"/apis/apps/v1/namespaces/{space}/deployments/d-worker"
    defined.until(lambda: defined.api.get(path))
    defined.api.delete(f"/apis/{GROUP}/namespaces/{space}/inferencedeployments/d")
    defined.until(lambda: gone(defined, path))
    defined.until(lambda: gone(defined, f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space}/roles/d-gateway"))


def test_a_name_that_is_taken_is_told_and_not_taken_over(defined: ControlPlane, operator: Running, space: str) -> None:
    """Deployments `a-b` with component `c`, and `a` with `b-c`, would share a name."""
    taken = {"metadata": {"name": "d-worker"}, "spec": {"ports": [{"port": 80}]}}
    defined.api.create(f"/api/v1/namespaces/{space}/services", taken)
    apply(defined, space, deployment(worker()))

    def told() -> bool:
        status = custom(defined, space, "componentpools", "d-worker").get("status", {})
        said = [one["message"] for one in status.get("conditions", ()) if one["status"] == "True"]
        return any("Service d-worker exists and is not ours" in message for message in said)

    defined.until(told)
    kept = defined.api.get(f"/api/v1/namespaces/{space}/services/d-worker")
    assert not kept["metadata"].get("ownerReferences")


def test_an_idle_operator_writes_nothing(defined: ControlPlane, operator: Running, space: str) -> None:
    """Not even what changes nothing, over a restart too, and though the API server says some things in other words."""
    engine = {"name": "engine", "resources": {"requests": {"cpu": "1000m", "memory": 1073741824}}}
    odd = {"env": {"EMPTY": ""}, "template": {"spec": {"containers": [engine]}}}
    by_hpa = {"by": "hpa", "max": 3, "cpuPercent": 70, "requestsPerSecond": 0.5}
    apply(defined, space, deployment(worker(autoscaling=by_hpa, pod=odd), kubeconfig="none"))
    hpa = f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/d-worker"
    defined.until(lambda: defined.api.get(hpa))
    time.sleep(5)
    before = len(writes(defined.audit_log, space))
    defined.kubectl("-n", space, "annotate", "componentpool/d-worker", "team=a")  # so that it is looked at
    time.sleep(3)
    assert writes(defined.audit_log, space)[before:] == []
    operator.kill()
    operator.begin()
    time.sleep(8)
    again = writes(defined.audit_log, space)[before:]
    assert [(each.verb, each.resource) for each in again] in ([], [("patch", "deployments")])  # it has forgotten how


def test_only_the_holder_of_the_lease_acts(defined: ControlPlane, space: str) -> None:
    first = Running(defined, space, "--lease-namespace", space)
    try:
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases/penstock-operator"
        holder = defined.until(lambda: defined.api.get(lease)["spec"]["holderIdentity"])
        second = Running(defined, space, "--lease-namespace", space)
        try:
            apply(defined, space, deployment(worker()))
            defined.until(lambda: custom(defined, space, "componentpools", "d-worker"))
            assert defined.api.get(lease)["spec"]["holderIdentity"] == holder
            first.kill()
            defined.until(lambda: defined.api.get(lease)["spec"]["holderIdentity"] != holder, 60)
            apply(defined, space, deployment(worker(replicas=4)))
            path = f"/apis/apps/v1/namespaces/{space}/deployments/d-worker"
            defined.until(lambda: defined.api.get(path)["spec"]["replicas"] == 4, 60)
        finally:
            second.kill()
    finally:
        if first.process is not None and first.process.poll() is None:
            first.kill()


def test_operator_and_gateway_need_no_more_than_their_own_roles(
    defined: ControlPlane, machines: Machines, space: str
) -> None:
    """Each runs with a token of its own account: everything works, and neither may look further."""
    install_accounts(defined, space)
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    running = Running(
        defined, space, "--lease-namespace", space, kubeconfig=as_account(defined, space, "penstock-operator")
    )
    try:
        scaled = worker(autoscaling={"by": "hpa", "max": 3, "cpuPercent": 70})
        apply(defined, space, deployment(scaled))
        defined.until(lambda: defined.api.get(f"/api/v1/namespaces/{space}/serviceaccounts/d-gateway"))
        apply(defined, space, deployment(scaled, kubeconfig=str(as_account(defined, space, "d-gateway"))))
        defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
        pods = f"/api/v1/namespaces/{space}/pods?labelSelector=penstock.dev/component=frontend"

        def answers() -> bool:
            ready = [one for one in defined.api.items(pods) if not one["metadata"].get("deletionTimestamp")]
            return any(
                fetch(defined.namespace, f"http://{one['status']['podIP']}:8000/health")[0] == 200 for one in ready
            )

        defined.until(answers, 90)
        apply(defined, space, deployment(worker(autoscaling={"by": "external"})))
        hpa = f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/d-worker"
        defined.until(lambda: gone(defined, hpa))
    finally:
        running.kill()
    assert "forbidden" not in running.log.read_text()
    for account, verb, resource in (
        ("penstock-operator", "get", "secrets"),
        ("penstock-operator", "create", "pods"),
        ("penstock-operator", "update", "deployments"),
        ("penstock-planner", "patch", "componentpools.penstock.dev"),
        ("penstock-planner", "get", "secrets"),
        ("d-gateway", "get", "pods"),
        ("d-gateway", "patch", "componentpools.penstock.dev"),
    ):
        identity = f"system:serviceaccount:{space}:{account}"
        asked = [str(defined.program), "kubectl", f"--kubeconfig={defined.kubeconfig}", "auth", "can-i", verb, resource]
        said = defined.namespace.run([*asked, "-n", space, f"--as={identity}"], timeout_s=30, given="").stdout
        assert said.strip() == "no", (account, verb, resource)


def test_the_planner_scales_a_pool_out_and_in_again(
    defined: ControlPlane, machines: Machines, operator: Running, space: str
) -> None:
    """With the demand and its own rights, each change an Event with its reason; a dry run only says so."""
    install_accounts(defined, space)
    kubeconfig = as_account(defined, space, "penstock-planner")
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    engine = {
        "stepTime": {"baseSeconds": 0.02, "prefillTokenSeconds": 4e-4},
        "startup": {"coldSeconds": 2, "warmSeconds": 2},
    }
    by_planner = {"by": "planner", "min": 1, "max": 4, "coolInSeconds": 5, "intervalSeconds": 2}
    scaled = worker(engine=engine, autoscaling=by_planner)
    apply(defined, space, deployment(scaled, kubeconfig=str(defined.kubeconfig)))
    defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
    url = gateway_of(defined, space)

    def events(reason: str) -> list[str]:
        found = defined.api.items(f"/api/v1/namespaces/{space}/events")
        return [one["message"] for one in found if one["reason"] == reason]

    def replicas() -> int:
        return int(custom(defined, space, "componentpools", "d-worker")["spec"]["replicas"])

    with Load(defined, space, url, per_s=6, for_s=40, input_tokens=300) as load:
        with planner(defined, space, "--dry-run", kubeconfig=kubeconfig):
            defined.until(lambda: events("Advised"), 60)
            assert replicas() == 1
        with planner(defined, space, kubeconfig=kubeconfig):
            defined.until(lambda: replicas() >= 2, 60)
            assert all("one replica holds" in message for message in events("Scaled"))
            load.lost_nothing()
            defined.until(lambda: replicas() == 1, 120)


def test_scale_downs_lose_no_request(defined: ControlPlane, machines: Machines, operator: Running, space: str) -> None:
    """Twenty times between three workers and one while requests stream: each worker drains before it goes."""
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    slow = {"stepTime": {"baseSeconds": 0.02}}  # answers of seconds: there is always something to lose
    scaled = worker(replicas=3, engine=slow, autoscaling={"by": "external"})
    apply(defined, space, deployment(scaled, kubeconfig=str(defined.kubeconfig)))
    defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
    cycles, rest_s = 20, 4.0
    with Load(
        defined, space, gateway_of(defined, space), per_s=2, for_s=2 * cycles * rest_s, output_tokens=100
    ) as load:
        for _ in range(cycles):
            for replicas in (1, 3):
                defined.kubectl("-n", space, "scale", "componentpool/d-worker", f"--replicas={replicas}")
                time.sleep(rest_s)
        load.lost_nothing()
