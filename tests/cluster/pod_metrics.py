"""What the pods of deployment `d` export, added up, as external metrics: what an adapter does in a cluster.

Engines' are sums of gauges over a component, the gateways' is a rate over some seconds. Where one ready pod cannot be
heard there is no value, since a part of the sum would look like less load.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from api_client import ApiError, fetch
from control_plane import ControlPlane
from external_metrics import external_metrics
from following import following

from penstock.control.exposition import Scrape, parse_exposition

SUMS = {
    "penstock_in_flight_requests": ("vllm:num_requests_waiting", "vllm:num_requests_running"),
    "penstock_queue_requests": ("vllm:num_requests_waiting",),
}
RATE, RECEIVED = "penstock_requests_per_s", "penstock_gateway_requests_received_total"
WINDOW_S = 4.0
_NAMES = frozenset((RECEIVED, *(name for names in SUMS.values() for name in names)))


@contextmanager
def pod_metrics(plane: ControlPlane, space: str, component: str) -> Iterator[None]:
    """While it is there, the external metrics API says what `component` and the gateways do, twice a second."""
    counted: dict[str, deque[tuple[float, float]]] = {}
    of_deployment = "penstock_dev_deployment=d"

    def told() -> dict[str, float]:
        engines = _scrapes(plane, space, component)
        said = {
            f"{name}{{penstock_dev_component={component},{of_deployment}}}": sum(
                scrape.total(part) or 0.0 for scrape in engines.values() for part in parts
            )
            for name, parts in SUMS.items()
        }
        for name, scrape in _scrapes(plane, space, "frontend").items():
            seen = counted.setdefault(name, deque())
            seen.append((time.monotonic(), scrape.total(RECEIVED) or 0.0))
            while seen[-1][0] - seen[0][0] > WINDOW_S:
                seen.popleft()
        return said | {f"{RATE}{{{of_deployment}}}": sum(map(_rate, counted.values()))}

    with external_metrics(plane) as metrics:

        def tell() -> None:
            try:
                metrics.tell(told())
            except (OSError, ApiError):
                metrics.tell({})

        with following(tell):
            yield


def _scrapes(plane: ControlPlane, space: str, component: str) -> dict[str, Scrape]:
    """Of each ready pod, by its name. Raises: OSError, ApiError, if one of them cannot be had."""
    found = {}
    for pod in plane.api.items(f"/api/v1/namespaces/{space}/pods?labelSelector=penstock.dev/component={component}"):
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
        if conditions.get("Ready") == "True":
            said = fetch(plane.namespace, f"http://{pod['status']['podIP']}:8000/metrics")[1]
            found[pod["metadata"]["name"]] = parse_exposition(said, _NAMES)
    return found


def _rate(seen: deque[tuple[float, float]]) -> float:
    """Per second over the window; a gateway that is gone has received nothing of late."""
    (first_s, first), (last_s, last) = seen[0], seen[-1]
    return (last - first) / (last_s - first_s) if last_s > first_s and time.monotonic() - last_s < WINDOW_S else 0.0
