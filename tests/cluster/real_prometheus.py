"""Real Prometheus beside the control plane, scraping pods with the labels that a PodMonitor of ours gives them.

Without Prometheus' operator: the test keeps its list of targets true (`look`). It takes some minutes to compile, once.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from api_client import fetch
from control_plane import ControlPlane
from workloads import pods

from go_program import go_program

SOURCE = Path(__file__).parent / "go" / "prometheus"
PORT = 19090
URL = f"http://127.0.0.1:{PORT}"
_CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 900ms}
scrape_configs:
  - {job_name: pods, file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]}
"""
_SELECTOR = "penstock.dev/component"


@contextmanager
def real_prometheus(plane: ControlPlane, space: str) -> Iterator[Callable[[], None]]:
    """While it is there. Yields: what tells it of the namespace's pods, to be called now and then."""
    program = go_program(SOURCE, "github.com/prometheus/prometheus/cmd/prometheus")
    folder = plane.folder / f"prometheus-{space}"
    folder.mkdir()
    (folder / "prometheus.yml").write_text(_CONFIG)

    def look() -> None:
        targets = [
            {
                "targets": [f"{pod['status']['podIP']}:8000"],
                "labels": {
                    "namespace": space,
                    "penstock_dev_deployment": pod["metadata"]["labels"]["penstock.dev/deployment"],
                    "penstock_dev_component": pod["metadata"]["labels"][_SELECTOR],
                },
            }
            for pod in pods(plane, space, _SELECTOR)
            if pod.get("status", {}).get("podIP") and pod["status"].get("phase") == "Running"
        ]
        fresh = folder / "targets.new"
        fresh.write_text(json.dumps(targets))
        fresh.replace(folder / "targets.json")

    look()
    arguments = [
        str(program),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{PORT}",
    ]
    process = plane.namespace.start(arguments, folder / "prometheus.log")
    try:
        plane.until(lambda: fetch(plane.namespace, f"{URL}/-/ready")[0] == 200, 60)
        yield look
    finally:
        process.kill()
        process.wait()
