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


def test_hpas_scale_gateways_and_engines_out_under_load_and_in_again(
    defined: ControlPlane, machines: Callable[..., MachineSet], operator: Running, space: str
) -> None:
    """By what pods export: eight requests at a time, three an engine; four a second, two a gateway. None is lost.

    The load knows one gateway only, the first: it is also the one that stays.
    """
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    engine = {"stepTime": {"baseSeconds": 0.02}}  # 100 tokens take two seconds
    soon = {"scaleDown": {"stabilizationWindowSeconds": 4}}
    in_flight = {"metric": "in_flight_requests", "target": 3}
    by_flight = {"by": "hpa", "max": 5, "metrics": [in_flight], "behavior": soon}
    by_rate = {"by": "hpa", "max": 3, "cpuPercent": 90, "requestsPerSecond": 2, "behavior": soon}
    thing = deployment(
        worker(engine=engine, autoscaling=by_flight),
        kubeconfig=str(defined.kubeconfig),
        frontend={"autoscaling": by_rate},
    )
    apply(defined, space, thing)
    defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
    url = gateway_of(defined, space)

    def there(component: str) -> int:
        """Ready pods, where as many are wanted."""
        pool = custom(defined, space, "componentpools", f"d-{component}")
        ready = pool["status"]["readyReplicas"]
        return int(ready) if ready == pool["spec"]["replicas"] == pool["status"]["replicas"] else 0

    def is_active(name: str) -> bool:
        hpa = defined.api.get(f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/{name}")
        conditions = {each["type"]: each["status"] for each in hpa["status"].get("conditions", ())}
        return conditions.get("ScalingActive") == "True"

    with pod_metrics(defined, space, "worker"):
        # The HPA controller takes up to half a minute to know of a kind that was defined after it began.
        defined.until(lambda: is_active("d-worker") and is_active("d-frontend"), 90)
        with Load(defined, space, url, per_s=4, for_s=20, output_tokens=100) as load:
            defined.until(lambda: there("worker") >= 3 and there("frontend") >= 2, 90)
            load.lost_nothing()
        found = defined.api.get(f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers/d-frontend")
        cpu = [each["resource"]["current"] for each in found["status"]["currentMetrics"] if each["type"] == "Resource"]
        assert 0 < cpu[0]["averageUtilization"] < 90, "gateways took so little that their rate decided"
        with Load(defined, f"{space}-less", url, per_s=0.5, for_s=20, output_tokens=50) as load:
            defined.until(lambda: there("worker") == 1 and there("frontend") == 1, 120)
            load.lost_nothing()
