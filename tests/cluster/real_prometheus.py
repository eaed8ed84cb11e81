"""Real Prometheus beside the control plane: it scrapes pods each second, labelled as by a PodMonitor of ours.

It takes some minutes to compile, once, and is built without what asks Kubernetes for pods, so they are told to it in a
file.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api_client import ApiError, fetch
from control_plane import ControlPlane
from following import following

from go_program import go_program

SOURCE = Path(__file__).parent / "go" / "prometheus"
PORT = 19090
URL = f"http://127.0.0.1:{PORT}"
_CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: pods, file_sd_configs: [{files: [targets.json]}]}]
"""


@contextmanager
def real_prometheus(plane: ControlPlane, space: str) -> Iterator[str]:
    """While it is there. Yields: its base URL."""
    program = str(go_program(SOURCE, "github.com/prometheus/prometheus/cmd/prometheus"))
    folder = plane.folder / "prometheus"
    folder.mkdir()
    (folder / "prometheus.yml").write_text(_CONFIG)
    targets = folder / "targets.json"

    def tell() -> None:
        try:
            found = plane.api.items(f"/api/v1/namespaces/{space}/pods?labelSelector=penstock.dev/component")
        except (OSError, ApiError):
            return
        fresh = folder / "targets.new"
        fresh.write_text(json.dumps([_target(pod) for pod in found if pod["status"].get("podIP")]))
        fresh.replace(targets)

    arguments = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    process = plane.namespace.start(
        [program, *arguments, f"--web.listen-address=127.0.0.1:{PORT}"], plane.folder / "prometheus.log"
    )
    try:
        plane.until(lambda: fetch(plane.namespace, f"{URL}/-/ready")[0] == 200)
        with following(tell):
            yield URL
    finally:
        process.kill()
        process.wait()


def _target(pod: dict[str, dict[str, dict[str, str]]]) -> dict[str, object]:
    meta = pod["metadata"]
    labels = {f"penstock_dev_{kind}": meta["labels"][f"penstock.dev/{kind}"] for kind in ("deployment", "component")}
    return {
        "targets": [f"{pod['status']['podIP']}:8000"],
        "labels": {**labels, "namespace": meta["namespace"], "pod": meta["name"]},
    }
