"""What the pods of deployment `d` export, added up, as external metrics: what an adapter does in a cluster.

Engines' are sums of gauges over a component, the gateways' is a rate over some seconds. Where one ready pod cannot be
heard there is no value, since a part of the sum would look like less load. Gateways' CPU is what the kernel says of
their processes: what a kubelet and the metrics server do.
"""

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from api_client import ApiError, fetch
from control_plane import ControlPlane
from deployments import Thing
from external_metrics import external_metrics
from following import following

from penstock.control.exposition import Scrape, parse_exposition

SUMS = {
    "penstock_in_flight_requests": ("vllm:num_requests_waiting", "vllm:num_requests_running"),
    "penstock_queue_requests": ("vllm:num_requests_waiting",),
}
RATE, RECEIVED = "penstock_requests_per_s", "penstock_gateway_requests_received_total"
WINDOW_S = 4.0
Seen = deque[tuple[float, float]]  # instants and counts
_NAMES = frozenset((RECEIVED, *(name for names in SUMS.values() for name in names)))


@contextmanager
def pod_metrics(plane: ControlPlane, space: str, component: str) -> Iterator[None]:
    """While it is there, the external metrics API says what `component` and the gateways do, twice a second."""
    received: dict[str, Seen] = {}
    used: dict[str, Seen] = {}
    of_deployment = "penstock_dev_deployment=d"

    def told() -> dict[str, float]:
        engines = _scrapes(plane, space, component)
        said = {
            f"{name}{{penstock_dev_component={component},{of_deployment}}}": sum(
                scrape.total(part) or 0.0 for _, scrape in engines for part in parts
            )
            for name, parts in SUMS.items()
        }
        for pod, scrape in _scrapes(plane, space, "frontend"):
            name = pod["metadata"]["name"]
            _see(received.setdefault(name, deque()), scrape.total(RECEIVED) or 0.0)
            _see(used.setdefault(name, deque()), _cpu_s(pod["status"]["podIP"]))
            if len(used[name]) > 1:
                said[f"cpu/{space}/{name}"] = _rate(used[name])
        return said | {f"{RATE}{{{of_deployment}}}": sum(map(_rate, received.values()))}

    with external_metrics(plane) as metrics:

        def tell() -> None:
            try:
                metrics.tell(told())
            except (OSError, ApiError):
                metrics.tell({})

        with following(tell):
            yield


def _scrapes(plane: ControlPlane, space: str, component: str) -> list[tuple[Thing, Scrape]]:
    """Of each ready pod. Raises: OSError, ApiError, if one of them cannot be had."""
    found = []
    for pod in plane.api.items(f"/api/v1/namespaces/{space}/pods?labelSelector=penstock.dev/component={component}"):
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
        if conditions.get("Ready") == "True":
            said = fetch(plane.namespace, f"http://{pod['status']['podIP']}:8000/metrics")[1]
            found.append((pod, parse_exposition(said, _NAMES)))
    return found


def _cpu_s(address: str) -> float:
    """CPU time of the process that serves at a pod's address."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if f"--host\0{address}\0" in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _see(seen: Seen, value: float) -> None:
    seen.append((time.monotonic(), value))
    while seen[-1][0] - seen[0][0] > WINDOW_S:
        seen.popleft()


def _rate(seen: Seen) -> float:
    """Per second over the window; a gateway that is gone has received nothing of late."""
    (first_s, first), (last_s, last) = seen[0], seen[-1]
    return (last - first) / (last_s - first_s) if last_s > first_s and time.monotonic() - last_s < WINDOW_S else 0.0
