"""The API server is away under load: first it hangs, then it is killed and comes back later."""

import os
import time
from collections.abc import Callable

import pytest
from api_client import fetch
from control_plane import ControlPlane
from deployments import NODE, PENSTOCK, apply, custom, deployment, gateway_of, is_ready, worker
from machine_set import MachineSet
from running_operator import Running, planner
from steady_load import Load
from test_definitions import defined as defined

from penstock.control.exposition import parse_exposition

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes

AWAY_S = float(os.environ.get("PENSTOCK_API_AWAY_S", "6"))  # each time
COMPLETED = "vllm:request_success_total"


def test_serving_goes_on_without_an_api_server_and_all_recover_by_themselves(
    defined: ControlPlane, machines: Callable[..., MachineSet], operator: Running, space: str
) -> None:
    """No request fails. Afterwards the planner scales out, the operator makes the pods, the gateway finds them."""
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    engine = {
        "stepTime": {"baseSeconds": 0.02, "prefillTokenSeconds": 4e-4},
        "startup": {"coldSeconds": 2, "warmSeconds": 2},
    }
    by_planner = {"by": "planner", "min": 2, "max": 5, "coolInSeconds": 600, "intervalSeconds": 2}
    scaled = worker(engine=engine, autoscaling=by_planner)
    apply(defined, space, deployment(scaled, kubeconfig=str(defined.kubeconfig)))
    defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
    url = gateway_of(defined, space)
    pods = f"/api/v1/namespaces/{space}/pods?labelSelector=penstock.dev/component=worker"
    before = {pod["metadata"]["name"] for pod in defined.api.items(pods)}

    def a_new_one_was_asked() -> bool:
        for pod in defined.api.items(pods):
            if pod["metadata"]["name"] not in before and pod["status"].get("podIP"):
                said = fetch(defined.namespace, f"http://{pod['status']['podIP']}:8000/metrics")[1]
                if parse_exposition(said, frozenset([COMPLETED])).total(COMPLETED):  # the gateway found and tried it
                    return True
        return False

    with planner(defined, space) as log:
        defined.until(lambda: f"planning {space}/d" in log.read_text())
        with Load(defined, space, url, per_s=1, for_s=2 * AWAY_S + 15, input_tokens=100) as load:
            with defined.paused("kube-apiserver"):
                time.sleep(AWAY_S)
            defined.until(lambda: custom(defined, space, "componentpools", "d-worker"))
            defined.stop("kube-apiserver")
            time.sleep(AWAY_S)
            defined.begin_api()
            load.lost_nothing()
        for number in range(10):
            with Load(defined, f"{space}-{number}", url, per_s=8, for_s=10, input_tokens=300) as load:
                load.lost_nothing()
            if a_new_one_was_asked():
                break
        else:
            pytest.fail("the gateway asked no new worker")
