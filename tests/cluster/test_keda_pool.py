"""A pool whose owner is real KEDA, which asks real Prometheus, with real gateways and engines under load."""

from collections.abc import Callable

import pytest
from control_plane import ControlPlane
from deployments import NODE, PENSTOCK, apply, custom, deployment, gateway_of, gone, is_ready, worker
from machine_set import MachineSet
from real_keda import real_keda
from real_prometheus import real_prometheus
from running_operator import Running
from steady_load import Load
from test_definitions import defined as defined

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.keda,
    pytest.mark.timeout(3600),
]  # the first build takes ten minutes and more


def test_keda_scales_a_pool_out_under_load_and_in_again(
    defined: ControlPlane, machines: Callable[..., MachineSet], space: str
) -> None:
    """By the query that the operator wrote for the signal, and no request is lost on the way in."""
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    engine = {"stepTime": {"baseSeconds": 0.02}}  # 100 tokens take two seconds
    by_keda = {
        "by": "keda",
        "max": 5,
        "pollingIntervalSeconds": 1,
        "triggers": [{"metric": "in_flight_requests", "threshold": 3, "ignoreNullValues": False}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 4}},
    }
    thing = deployment(worker(engine=engine, autoscaling=by_keda), kubeconfig=str(defined.kubeconfig))
    scaled_object = f"/apis/keda.sh/v1alpha1/namespaces/{space}/scaledobjects/d-worker"

    def hpa_is_active() -> bool:
        """The HPA controller takes up to half a minute to know of a kind that was defined after it began."""
        hpa = defined.api.get(f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/keda-hpa-d-worker")
        conditions = {each["type"]: each["status"] for each in hpa["status"].get("conditions", ())}
        return conditions.get("ScalingActive") == "True"

    def replicas() -> int:
        return int(custom(defined, space, "componentpools", "d-worker")["spec"]["replicas"])

    with real_prometheus(defined, space) as prometheus, real_keda(defined):
        operator = Running(defined, space, "--prometheus", prometheus)
        try:
            apply(defined, space, thing)
            defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
            url = gateway_of(defined, space)
            defined.until(hpa_is_active, 90)
            with Load(defined, space, url, per_s=4, for_s=20, output_tokens=100) as load:
                defined.until(lambda: replicas() >= 3, 90)
                load.lost_nothing()
            with Load(defined, f"{space}-less", url, per_s=0.5, for_s=12, output_tokens=50) as load:
                defined.until(lambda: replicas() == 1, 120)
                load.lost_nothing()
            conditions = {
                each["type"]: each["status"] for each in defined.api.get(scaled_object)["status"]["conditions"]
            }
            assert conditions["Ready"] == "True"
            # KEDA takes its finalizer off only while it runs, and a namespace waits for that.
            defined.api.delete(f"/apis/penstock.dev/v1alpha1/namespaces/{space}/inferencedeployments/d")
            defined.until(lambda: gone(defined, scaled_object))
        finally:
            operator.kill()
