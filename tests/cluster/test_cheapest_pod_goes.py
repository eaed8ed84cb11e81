"""A pool shrinks under load: who goes."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from api_client import fetch
from audit import writes
from control_plane import ControlPlane
from deployments import NODE, PENSTOCK, apply, custom, deployment, is_ready, worker
from machine_set import MachineSet
from running_operator import Running, as_account, install_accounts
from steady_load import Load
from test_definitions import defined as defined

from penstock.control.exposition import parse_exposition
from penstock.control.worker_view import RUNNING, WAITING

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes


def test_the_idle_pods_go_and_the_busy_ones_stay(
    defined: ControlPlane, machines: Callable[..., MachineSet], space: str
) -> None:
    """Even the oldest, which a ReplicaSet would keep. A step marks one pod; the operator's own rights suffice."""
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    install_accounts(defined, space)
    kubeconfig = as_account(defined, space, "penstock-operator")
    operator = Running(defined, space, kubeconfig=kubeconfig)
    pods = f"/api/v1/namespaces/{space}/pods?labelSelector=penstock.dev/component=worker"

    def there() -> dict[str, str]:
        """Name to address, the oldest first."""
        found = [pod for pod in defined.api.items(pods) if not pod["metadata"].get("deletionTimestamp")]
        found.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
        return {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in found}

    def in_flight(name: str) -> float:
        said = fetch(defined.namespace, f"http://{there()[name]}:8000/metrics")[1]
        scrape = parse_exposition(said, frozenset([RUNNING, WAITING]))
        return (scrape.total(RUNNING) or 0.0) + (scrape.total(WAITING) or 0.0)

    def scaled_to(replicas: int) -> set[str]:
        defined.kubectl("-n", space, "scale", "componentpool/d-worker", f"--replicas={replicas}")
        defined.until(lambda: len(there()) == replicas)
        return set(there())

    try:
        slow = {"stepTime": {"baseSeconds": 0.05}}
        thing = deployment(worker(replicas=1, engine=slow, autoscaling={"by": "external"}), kubeconfig="none")
        apply(defined, space, thing)
        defined.until(lambda: is_ready(custom(defined, space, "componentpools", "d-worker")), 120)
        (oldest,) = there()
        scaled_to(4)
        defined.until(lambda: is_ready(custom(defined, space, "componentpools", "d-worker")), 120)
        few, many, most = (name for name in there() if name != oldest)
        with ExitStack() as loads:
            for per_s, name in ((1, few), (4, many), (8, most)):
                url = f"http://{there()[name]}:8000"
                load = Load(defined, name, url, per_s=per_s, for_s=60, output_tokens=200)
                loads.enter_context(load)
            defined.until(lambda: 0 < in_flight(few) < in_flight(many) < in_flight(most), 90)
            assert scaled_to(3) == {few, many, most}
            assert scaled_to(2) == {many, most}
            assert scaled_to(1) == {most}
    finally:
        operator.kill()
    marked = [each for each in writes(defined.audit_log, space) if each.resource == "pods"]
    assert [(each.name, each.code) for each in marked] == [(oldest, 200), (few, 200), (many, 200)]
