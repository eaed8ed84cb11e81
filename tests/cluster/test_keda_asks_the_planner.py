"""Real KEDA owns the scale and asks the planner how many: from nothing, up, and back to nothing, no request failed."""

import json
import subprocess

import pytest
from api_client import fetch
from control_plane import ControlPlane
from deployments import NODE, PENSTOCK, apply, custom, deployment, is_ready, worker
from real_keda import real_keda
from running_operator import Running, as_account, install_accounts
from test_definitions import defined as defined
from test_operator import Machines
from workloads import pods

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.keda,
    pytest.mark.timeout(3600),
]  # the first build takes ten minutes and more

ADDRESS = "127.0.0.1:16700"


def test_keda_asks_the_planner_and_does_what_it_says(defined: ControlPlane, machines: Machines, space: str) -> None:
    """Pushed awake while a request waits; then the planner's count to the last replica; and to nothing."""
    with real_keda(defined):
        install_accounts(defined, space)
        machines(nodes=[NODE], images={"penstock": PENSTOCK})
        operator = Running(defined, space, "--planner-address", ADDRESS)
        engine = {"stepTime": {"baseSeconds": 0.02, "prefillTokenSeconds": 4e-4}}
        by_keda = {"by": "keda", "min": 0, "max": 4, "planner": {"coolInSeconds": 5, "intervalSeconds": 2}}
        apply(
            defined,
            space,
            deployment(worker(engine=engine, autoscaling=by_keda), kubeconfig=str(defined.kubeconfig)),
        )
        defined.until(lambda: is_ready(custom(defined, space, "componentpools", "d-frontend")), 120)
        url = f"http://{pods(defined, space, 'penstock.dev/component=frontend')[0]['status']['podIP']}:8000"
        defined.until(lambda: fetch(defined.namespace, f"{url}/metrics")[0] == 200, 60)
        lines = [{"arrival_s": number / 6, "input_tokens": 300, "output_tokens": 20} for number in range(240)]
        trace = defined.folder / f"{space}.jsonl"
        trace.write_text("".join(json.dumps(line) + "\n" for line in lines))

        def replicas() -> int:
            return int(custom(defined, space, "componentpools", "d-worker")["spec"]["replicas"])

        def complaint() -> str:
            conditions = custom(defined, space, "componentpools", "d-worker")["status"]["conditions"]
            return next(one["message"] for one in conditions if one["type"] == "Degraded")

        defined.until(lambda: f"waits for the planner, which does not answer at {ADDRESS}" in complaint(), 60)
        scaled_object = f"/apis/keda.sh/v1alpha1/namespaces/{space}/scaledobjects/d-worker"
        kubeconfig = as_account(defined, space, "penstock-planner")
        options = ["--cluster", "--namespace", space, "--keda-listen", ADDRESS]
        hpa = f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/keda-hpa-d-worker"

        def begin_planner() -> subprocess.Popen[bytes]:
            asked = ["env", f"KUBECONFIG={kubeconfig}", *PENSTOCK, "planner", *options]
            return defined.namespace.start(asked, defined.folder / f"planner-{space}.log")

        def metrics() -> set[str]:
            return {metric["type"] for metric in defined.api.get(hpa)["spec"]["metrics"]}

        planner = begin_planner()
        log = defined.folder / f"load-{space}.log"
        try:
            defined.until(lambda: _condition(defined.api.get(scaled_object), "Ready") == "True", 120)
            assert replicas() == 0
            load = defined.namespace.start([*PENSTOCK, "load", url, "--trace", str(trace), "--json"], log)
            defined.until(lambda: replicas() >= 1, 60)
            defined.until(lambda: replicas() >= 2, 60)
            defined.until(lambda: load.poll() is not None, 180)
            defined.until(lambda: replicas() == 0, 120)
            assert metrics() == {"External"}
            planner.kill()
            planner.wait()
            defined.api.patch(hpa, {"spec": {"maxReplicas": 3}})  # KEDA makes it anew, and cannot ask
            defined.until(lambda: metrics() == {"Resource"}, 60)
            planner = begin_planner()
            defined.until(lambda: metrics() == {"External"}, 120)
        finally:
            planner.kill()
            planner.wait()
            defined.kubectl("-n", space, "delete", "inferencedeployment/d", "--wait=false")
            # KEDA takes its finalizer off only while it runs, and a namespace waits for that.
            defined.kubectl("-n", space, "wait", "--for=delete", "scaledobject/d-worker", "--timeout=60s")
            operator.kill()
    said = log.read_text()
    requests = json.JSONDecoder().raw_decode(said[said.index("{\n") :])[0]["requests"]
    assert requests["completed"] == requests["offered"] == len(lines), said[-2000:]
    events = defined.api.items(f"/api/v1/namespaces/{space}/events")
    ours = [one["message"] for one in events if one["involvedObject"]["kind"] == "ComponentPool"]
    assert any(message.startswith("asked KEDA to scale from 0 to ") for message in ours)
    assert not [message for message in ours if message.startswith("scaled")]


def _condition(thing: dict, name: str) -> str:
    conditions = thing.get("status", {}).get("conditions", ())
    return next((one["status"] for one in conditions if one["type"] == name), "")
