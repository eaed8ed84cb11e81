"""A pool at zero under a real control plane: requests wait at the gateway, and their waiting wakes the pool."""

import json

import pytest
from api_client import fetch
from control_plane import ControlPlane
from deployments import NODE, PENSTOCK, apply, custom, deployment, is_ready, worker
from running_operator import Running, as_account, install_accounts
from test_definitions import defined as defined
from test_operator import Machines
from workloads import pods

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes


def test_a_pool_goes_to_zero_and_comes_back_and_no_request_fails(
    defined: ControlPlane, machines: Machines, operator: Running, space: str
) -> None:
    """From nothing, and again the moment that its last worker is told to go: all requests wait and are answered."""
    install_accounts(defined, space)
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    by_planner = {"by": "planner", "min": 0, "max": 2, "coolInSeconds": 3, "intervalSeconds": 5}
    thing = deployment(worker(autoscaling=by_planner), kubeconfig=str(defined.kubeconfig))
    apply(defined, space, thing)
    defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
    frontend = pods(defined, space, "penstock.dev/component=frontend")[0]
    url = f"http://{frontend['status']['podIP']}:8000"
    defined.until(lambda: fetch(defined.namespace, f"{url}/metrics")[0] == 200, 60)
    assert not pods(defined, space, "penstock.dev/component=worker")
    trace = defined.folder / f"{space}.jsonl"
    lines = [{"arrival_s": number / 4, "input_tokens": 200, "output_tokens": 20} for number in range(12)]
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def replicas() -> int:
        return int(custom(defined, space, "componentpools", "d-worker")["spec"]["replicas"])

    kubeconfig = as_account(defined, space, "penstock-planner")
    planner = defined.namespace.start(
        ["env", f"KUBECONFIG={kubeconfig}", *PENSTOCK, "planner", "--cluster", "--namespace", space],
        defined.folder / f"planner-{space}.log",
    )
    try:
        for number in range(2):
            log = defined.folder / f"load-{space}-{number}.log"
            load = defined.namespace.start([*PENSTOCK, "load", url, "--trace", str(trace), "--json"], log)
            defined.until(lambda: replicas() > 0, 60)
            defined.until(lambda load=load: load.poll() is not None, 120)
            said = log.read_text()
            requests = json.JSONDecoder().raw_decode(said[said.index("{\n") :])[0]["requests"]
            assert requests["completed"] == requests["offered"] == len(lines), said[-2000:]
            defined.until(lambda: replicas() == 0, 120)
    finally:
        planner.kill()
        planner.wait()
    events = defined.api.items(f"/api/v1/namespaces/{space}/events")
    woken = [one["message"] for one in events if one["message"].startswith("scaled from 0")]
    assert len(woken) == 2
    assert all("held" in message or "wait" in message for message in woken), woken
