"""One control plane for all tests of a session; machines and a namespace for each."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from control_plane import ControlPlane
from machine_set import MachineSet
from running_operator import Running

RESOURCES = Path(__file__).parent / "resources.yaml"
LOG_LINES = 15
_ended_with: list[Path] = []


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real control plane. Its directory, with the log of each of its processes, is kept by pytest."""
    folder = tmp_path_factory.mktemp("cluster")
    _ended_with.append(folder)
    plane = ControlPlane.begin(folder, [RESOURCES])
    yield plane
    plane.end()


@pytest.fixture
def machines(cluster: ControlPlane) -> Iterator[Callable[..., MachineSet]]:
    """Starts machines for this test."""
    started: list[MachineSet] = []

    def start(**given: Any) -> MachineSet:
        number = len(list(cluster.folder.glob("machines-*")))
        started.append(MachineSet(cluster, number, **given))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def space(cluster: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of its own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    cluster.api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def operator(defined: ControlPlane, space: str) -> Iterator[Running]:
    """An operator of this test's namespace."""
    running = Running(defined, space)
    yield running
    running.kill()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Last, for their program takes longest to build, and something else may be building it meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("cluster") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Shows, with a test that failed, the last words of each process."""
    report: pytest.TestReport = yield
    if report.failed and item.get_closest_marker("cluster"):
        for folder in _ended_with:
            for log in sorted(folder.rglob("*.log")):
                said = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
                if said:
                    report.sections.append((str(log), "\n".join(line[:300] for line in said)))
    return report
