"""InferenceDeployments that tests apply, and what they look at."""

import json
import subprocess
import sys
from typing import Any

from api_client import ApiError, fetch
from control_plane import ControlPlane

from penstock.operator.plan import up_to_date

GROUP = "penstock.dev/v1alpha1"
PENSTOCK = [sys.executable, "-m", "penstock.cli.program"]
NODE = {"name": "node-a", "allocatable": {"cpu": "64", "memory": "64Gi", "pods": "100"}}
Thing = dict[str, Any]


def deployment(*components: Thing, name: str = "d", kubeconfig: str = "", frontend: Thing | None = None) -> Thing:
    # No kubelet gives these pods a token of their service account, so a gateway comes as whoever the test is.
    first = {"name": "frontend", "role": "frontend", "pod": {"env": {"KUBECONFIG": kubeconfig}}} | (frontend or {})
    spec = {
        "model": {"name": "penstock/tiny"},
        "slo": {"ttftSeconds": 0.5, "itlSeconds": 0.05},
        "components": [first, *components],
    }
    return {"apiVersion": GROUP, "kind": "InferenceDeployment", "metadata": {"name": name}, "spec": spec}


def worker(**more: Any) -> Thing:
    return {"name": "worker", "role": "worker"} | more


def apply(plane: ControlPlane, space: str, thing: Thing) -> None:
    plane.kubectl("-n", space, "apply", "--server-side", "-f", "-", given=json.dumps(thing))


def custom(plane: ControlPlane, space: str, plural: str, name: str) -> Thing:
    return plane.api.get(f"/apis/{GROUP}/namespaces/{space}/{plural}/{name}")


def is_ready(thing: Thing) -> bool:
    status = thing.get("status", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    return status.get("observedGeneration") == thing["metadata"]["generation"] and conditions.get("Ready") == "True"


def complaint(thing: Thing) -> str:
    """What somebody has to look at; empty, if nothing."""
    conditions = {each["type"]: each for each in thing.get("status", {}).get("conditions", ())}
    degraded = conditions.get("Degraded", {})
    return degraded["message"] if degraded.get("status") == "True" else ""


def gone(plane: ControlPlane, path: str) -> bool:
    try:
        plane.api.get(path)
    except ApiError as error:
        return error.code == 404
    return False


def gateway_of(plane: ControlPlane, space: str) -> str:
    """The base URL of a deployment's gateway, once it can serve a request."""
    pods = f"/api/v1/namespaces/{space}/pods?labelSelector=penstock.dev/component=frontend"

    def answers() -> str | None:
        for pod in plane.api.items(pods):
            url = f"http://{pod['status'].get('podIP')}:8000"
            if not pod["metadata"].get("deletionTimestamp") and fetch(plane.namespace, f"{url}/health")[0] == 200:
                return url
        return None

    return plane.until(answers, 120) or ""


def is_as_rendered(plane: ControlPlane, space: str, thing: Thing) -> bool:
    """Whether all that `penstock render` prints for a deployment is there, as it says, and nothing more is owned."""
    file = plane.folder / f"rendered-{space}.json"
    file.write_text(json.dumps(thing))
    asked = [*PENSTOCK, "render", str(file), "--namespace", space, "--image", "penstock", "--json"]
    made = json.loads(subprocess.run(asked, check=True, capture_output=True, timeout=60).stdout)
    wanted = {(one["kind"], one["metadata"]["name"]): one for one in made if one["kind"] != "PodMonitor"}
    kinds = "componentpools,deployments,services,serviceaccounts,hpa,pdb,roles,rolebindings"
    found = json.loads(plane.kubectl("-n", space, "get", kinds, "-l", "penstock.dev/deployment", "-ojson"))["items"]
    there = {(one["kind"], one["metadata"]["name"]): one for one in found}
    return there.keys() == wanted.keys() and all(up_to_date(wanted[key], there[key]) for key in wanted)
