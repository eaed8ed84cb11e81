"""What engines of a pool export, added up, as external metrics: what an adapter does in a cluster.

Only what is a sum of gauges; a pool of which one ready pod cannot be heard has no value, since a part of the sum would
look like less load.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from api_client import ApiError, fetch
from control_plane import ControlPlane
from external_metrics import external_metrics
from following import following

from penstock.control.exposition import parse_exposition

SUMS = {
    "penstock_in_flight_requests": ("vllm:num_requests_waiting", "vllm:num_requests_running"),
    "penstock_queue_requests": ("vllm:num_requests_waiting",),
}
_NAMES = frozenset(name for names in SUMS.values() for name in names)


@contextmanager
def pod_metrics(plane: ControlPlane, space: str, component: str) -> Iterator[None]:
    """While it is there, the external metrics API says what the pods of `d`'s component do, twice a second."""
    selector = f"penstock_dev_component={component},penstock_dev_deployment=d"
    with external_metrics(plane) as metrics:

        def tell() -> None:
            try:
                found = _sums(plane, space, component)
            except (OSError, ApiError):
                found = {}
            metrics.tell({f"{name}{{{selector}}}": value for name, value in found.items()})

        with following(tell):
            yield


def _sums(plane: ControlPlane, space: str, component: str) -> dict[str, float]:
    pods = plane.api.items(f"/api/v1/namespaces/{space}/pods?labelSelector=penstock.dev/component={component}")
    heard = []
    for pod in pods:
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
        if conditions.get("Ready") == "True":
            said = fetch(plane.namespace, f"http://{pod['status']['podIP']}:8000/metrics")[1]
            heard.append(parse_exposition(said, _NAMES))
    return {name: sum(scrape.total(part) or 0.0 for scrape in heard for part in parts) for name, parts in SUMS.items()}
