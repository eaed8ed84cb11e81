"""What the operator takes with many pools, on a real control plane: memory, time from a change to its end, writes.

    python benchmarks/operator_scale.py --pools 200 --idle-s 300

The control plane is that of the tests (built from Go modules at the first run; see CONTRIBUTING.md). Half of the pools
are frontends, half simulated workers with an HPA. There are no nodes, so their pods wait: one a pool, and as many
objects as otherwise. A change is a write of a pool's scale; it ends when the pool's Deployment says the same.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "cluster")]

from api_client import MERGE_PATCH  # type: ignore[import-not-found]  # noqa: E402
from audit import writes  # type: ignore[import-not-found]  # noqa: E402
from control_plane import ControlPlane  # type: ignore[import-not-found]  # noqa: E402
from deployments import GROUP, deployment, worker  # type: ignore[import-not-found]  # noqa: E402
from running_operator import Running  # type: ignore[import-not-found]  # noqa: E402

from penstock.operator.crds import definitions  # noqa: E402

SPACE = "many"
POOLS = f"/apis/{GROUP}/namespaces/{SPACE}/componentpools"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{SPACE}/deployments"
WAIT_S = 600.0


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=200)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--idle-s", type=float, default=300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plane = ControlPlane.begin(Path(folder))
        try:
            measure(plane, given.pools, given.changes, given.idle_s)
        finally:
            plane.end()


def measure(plane: ControlPlane, pools: int, changes: int, idle_s: float) -> None:
    """All of it on one control plane."""
    plane.kubectl("apply", "--server-side", "-f", "-", given=_list(list(definitions())))
    plane.kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=60s")
    plane.kubectl("create", "namespace", SPACE)
    operator = Running(plane, SPACE)
    by_hpa = {"by": "hpa", "max": 9, "cpuPercent": 70}
    made = [
        deployment(worker(autoscaling=by_hpa), name=f"d{number}", kubeconfig="none") for number in range(pools // 2)
    ]
    began_s = time.monotonic()
    plane.kubectl("-n", SPACE, "apply", "--server-side", "-f", "-", given=_list(made), timeout_s=WAIT_S)
    print(f"applied            {time.monotonic() - began_s:7.1f} s")
    _until_settled(plane, pools)
    print(f"all reconciled     {time.monotonic() - began_s:7.1f} s after the first was applied")
    print(f"writes of that     {_kinds(writes(plane.audit_log, SPACE))}")
    _quiet(operator)
    _say(operator, "after that")

    operator.kill()
    before = len(writes(plane.audit_log, SPACE))
    operator.begin()
    began_s = time.monotonic()
    plane.until(lambda: " pools" in operator.log.read_text(), WAIT_S)
    _quiet(operator)
    print(f"restarted          {time.monotonic() - began_s:7.1f} s until it has looked at all")
    print(f"writes of that     {_kinds(writes(plane.audit_log, SPACE)[before:])}")
    _say(operator, "after that")

    took_s = []
    for number in range(changes):
        name, replicas = f"d{number % (pools // 2)}-worker", 2 + number // (pools // 2)
        began_s = time.monotonic()
        plane.api.ask("PATCH", f"{POOLS}/{name}/scale", {"spec": {"replicas": replicas}}, MERGE_PATCH)
        while plane.api.get(f"{DEPLOYMENTS}/{name}")["spec"]["replicas"] != replicas:
            time.sleep(0.005)
        took_s.append(time.monotonic() - began_s)
    took_s.sort()
    print(f"one change         {statistics.median(took_s):7.3f} s median, {took_s[-1]:.3f} s at most, of {changes}")

    began_s = time.monotonic()
    for number in range(pools // 2):
        plane.api.ask("PATCH", f"{POOLS}/d{number}-worker/scale", {"spec": {"replicas": 5}}, MERGE_PATCH)
    written_s = time.monotonic() - began_s
    plane.until(
        lambda: sum(each["spec"]["replicas"] == 5 for each in plane.api.items(DEPLOYMENTS)) == pools // 2, WAIT_S
    )
    print(f"{pools // 2} changes        {time.monotonic() - began_s:7.1f} s, of which {written_s:.1f} s to write them")
    _quiet(operator)
    _say(operator, "after that")

    before, cpu_s = len(writes(plane.audit_log, SPACE)), _cpu_s(operator)
    time.sleep(idle_s)
    wrote = _kinds(writes(plane.audit_log, SPACE)[before:])
    print(f"idle for {idle_s:g} s: {wrote}, {_cpu_s(operator) - cpu_s:.2f} s CPU")
    _say(operator, "at the end")
    operator.kill()


def _until_settled(plane: ControlPlane, pools: int) -> None:
    """Until each pool's status is of its newest generation, and there is a Deployment for each."""

    def settled() -> bool:
        found = plane.api.items(POOLS)
        current = [each["metadata"]["generation"] == each.get("status", {}).get("observedGeneration") for each in found]
        return len(found) == pools and all(current) and len(plane.api.items(DEPLOYMENTS)) == pools

    plane.until(settled, WAIT_S)


def _quiet(operator: Running) -> None:
    """Until it takes no time for two seconds."""
    before_s = -1.0
    while _cpu_s(operator) - before_s > 0.02:
        before_s = _cpu_s(operator)
        time.sleep(2)


def _status(operator: Running) -> dict[str, str]:
    assert operator.process is not None
    lines = Path(f"/proc/{operator.process.pid}/status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _cpu_s(operator: Running) -> float:
    assert operator.process is not None
    fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _say(operator: Running, when: str) -> None:
    status = _status(operator)
    rss, most = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    print(f"operator           {rss:7.0f} MiB {when} ({most:.0f} at most), {_cpu_s(operator):.1f} s CPU")


def _kinds(made: Sequence[Any]) -> str:
    """How many, and of what."""
    kinds = Counter(f"{each.verb} {each.resource}" for each in made)
    return f"{len(made)}" + "".join(f", {count} {kind}" for kind, count in kinds.most_common())


def _list(items: list[Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


if __name__ == "__main__":
    try:
        main()
    except subprocess.TimeoutExpired as error:
        sys.exit(f"took too long: {error}")
