"""The planner that asks a real Prometheus: from zero, out under load, and back to zero, no request failed."""

import json

import pytest
from api_client import fetch
from control_plane import ControlPlane
from deployments import NODE, PENSTOCK, apply, custom, deployment, is_ready, worker
from real_prometheus import real_prometheus
from running_operator import Running, as_account, install_accounts
from test_definitions import defined as defined
from test_operator import Machines
from workloads import pods

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.prometheus,
    pytest.mark.timeout(3600),
]  # the first build takes minutes


def test_the_planner_scales_by_what_prometheus_says(
    defined: ControlPlane, machines: Machines, operator: Running, space: str
) -> None:
    install_accounts(defined, space)
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    engine = {"stepTime": {"baseSeconds": 0.02, "prefillTokenSeconds": 4e-4}}
    by_planner = {"by": "planner", "min": 0, "max": 4, "coolInSeconds": 5, "intervalSeconds": 2}
    apply(defined, space, deployment(worker(engine=engine, autoscaling=by_planner), kubeconfig=str(defined.kubeconfig)))
    defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
    url = f"http://{pods(defined, space, 'penstock.dev/component=frontend')[0]['status']['podIP']}:8000"
    defined.until(lambda: fetch(defined.namespace, f"{url}/metrics")[0] == 200, 60)
    lines = [{"arrival_s": number / 6, "input_tokens": 300, "output_tokens": 20} for number in range(240)]
    trace = defined.folder / f"{space}.jsonl"
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    kubeconfig, log = as_account(defined, space, "penstock-planner"), defined.folder / f"load-{space}.log"
    with real_prometheus(defined, space) as prometheus:

        def replicas() -> int:
            return int(custom(defined, space, "componentpools", "d-worker")["spec"]["replicas"])

        options = ["--cluster", "--namespace", space, "--prometheus", prometheus, "--prometheus-window", "8"]
        planner = defined.namespace.start(
            ["env", f"KUBECONFIG={kubeconfig}", *PENSTOCK, "planner", *options], defined.folder / f"planner-{space}.log"
        )
        try:
            load = defined.namespace.start([*PENSTOCK, "load", url, "--trace", str(trace), "--json"], log)
            defined.until(lambda: replicas() >= 1, 60)
            defined.until(lambda: replicas() >= 2, 60)
            defined.until(lambda: load.poll() is not None, 180)
            defined.until(lambda: replicas() == 0, 120)
        finally:
            planner.kill()
            planner.wait()
    said = log.read_text()
    requests = json.JSONDecoder().raw_decode(said[said.index("{\n") :])[0]["requests"]
    assert requests["completed"] == requests["offered"] == len(lines), said[-2000:]
    reasons = [one["message"] for one in defined.api.items(f"/api/v1/namespaces/{space}/events")]
    assert any("requests/s" in reason and "one replica holds" in reason for reason in reasons)
