"""Real KEDA and the real HPA on a resource with a scale subresource."""

import json
import sys
from collections.abc import Iterator

import pytest
from control_plane import ControlPlane
from real_keda import real_keda

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.keda,
    pytest.mark.timeout(3600),
]  # the first build takes ten minutes and more

PORT = 16600


@pytest.fixture
def queue(cluster: ControlPlane) -> Iterator:
    """Says how much is queued, at an address that KEDA asks."""
    folder = cluster.folder / "queue"
    folder.mkdir()
    arguments = [sys.executable, "-m", "http.server", str(PORT), "--bind", "127.0.0.1", "--directory", str(folder)]
    server = cluster.namespace.start(arguments, folder / "server.log")
    yield lambda queued: (folder / "queue.json").write_text(json.dumps({"queued": queued}))
    server.kill()
    server.wait()


def test_keda_scales_a_custom_resource_from_nothing_and_back(cluster: ControlPlane, space: str, queue) -> None:
    """0 to 1 by KEDA, 1 to 4 by the HPA that it makes, back to 0 when nothing was queued for the cooldown."""
    queue(0)
    fleets = f"/apis/testbed.penstock.dev/v1/namespaces/{space}/fleets"
    fleet = {"apiVersion": "testbed.penstock.dev/v1", "kind": "Fleet", "metadata": {"name": "f"}}
    trigger = {"url": f"http://127.0.0.1:{PORT}/queue.json", "valueLocation": "queued", "targetValue": "10"}
    scaled = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "f"},
        "spec": {
            "scaleTargetRef": {"apiVersion": fleet["apiVersion"], "kind": "Fleet", "name": "f"},
            "minReplicaCount": 0,
            "maxReplicaCount": 4,
            "pollingInterval": 1,
            "cooldownPeriod": 2,
            "triggers": [{"type": "metrics-api", "metricType": "AverageValue", "metadata": trigger}],
        },
    }

    def replicas() -> int:
        """And act as the resource's own controller, which is there at once."""
        now = int(cluster.api.get(f"{fleets}/f")["spec"]["replicas"])
        cluster.api.patch(f"{fleets}/f/status", {"status": {"replicas": now, "selector": "app=f"}})
        return now

    with real_keda(cluster):
        cluster.api.create(fleets, fleet | {"spec": {"replicas": 1}})
        cluster.api.create(f"/apis/keda.sh/v1alpha1/namespaces/{space}/scaledobjects", scaled)
        cluster.until(lambda: replicas() == 0)
        queue(35)
        cluster.until(lambda: replicas() == 4)
        queue(0)
        cluster.until(lambda: replicas() == 0)
        # KEDA takes its finalizer off only while it runs, and a namespace waits for that.
        cluster.kubectl("-n", space, "delete", "scaledobject/f")
