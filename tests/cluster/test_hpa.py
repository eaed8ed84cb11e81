"""A pool whose owner is the real HPA controller, with real gateways and engines under load."""

from collections.abc import Callable

import pytest
from control_plane import ControlPlane
from deployments import NODE, PENSTOCK, apply, custom, deployment, gateway_of, is_ready, worker
from machine_set import MachineSet
from pod_metrics import pod_metrics
from running_operator import Running
from steady_load import Load
from test_definitions import defined as defined

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes


def test_an_hpa_scales_a_pool_out_under_load_and_in_again(
    defined: ControlPlane, machines: Callable[..., MachineSet], operator: Running, space: str
) -> None:
    """By what its pods export: eight requests at a time, three a replica. No request is lost on the way in."""
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    engine = {"stepTime": {"baseSeconds": 0.02}}  # 100 tokens take two seconds
    by_hpa = {
        "by": "hpa",
        "max": 5,
        "metrics": [{"metric": "in_flight_requests", "target": 3}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 4}},
    }
    apply(defined, space, deployment(worker(engine=engine, autoscaling=by_hpa), kubeconfig=str(defined.kubeconfig)))
    defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
    url = gateway_of(defined, space)
    seen: list[int] = []

    def replicas() -> int:
        seen.append(int(custom(defined, space, "componentpools", "d-worker")["spec"]["replicas"]))
        return seen[-1]

    with pod_metrics(defined, space, "worker"):
        with Load(defined, space, url, per_s=4, for_s=12, output_tokens=100) as load:
            defined.until(lambda: replicas() >= 3, 90)
            defined.until(lambda: custom(defined, space, "componentpools", "d-worker")["status"]["readyReplicas"] >= 3)
            load.lost_nothing()
        with Load(defined, f"{space}-less", url, per_s=0.5, for_s=12, output_tokens=50) as load:
            defined.until(lambda: replicas() == 1, 120)
            load.lost_nothing()
        hpa = defined.api.get(f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/d-worker")
        conditions = {each["type"]: each["status"] for each in hpa["status"]["conditions"]}
        assert conditions["ScalingActive"] == "True"
        assert max(seen) <= 5
