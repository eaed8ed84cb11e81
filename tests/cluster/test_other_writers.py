"""Others write what the operator owns: by hand, or again and again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from audit import Write, writes
from control_plane import ControlPlane
from deployments import apply, complaint, custom, deployment, worker
from following import following
from running_operator import Running
from test_definitions import defined as defined

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes

FIGHT_S = 5.0
MOST = 8  # repairs in that time: at 0, 0+, 1, 3 s; a slow machine takes longer


def test_who_changes_it_back_each_time_is_named_and_not_fought(
    defined: ControlPlane, operator: Running, space: str
) -> None:
    """A few writes, a status that says who; once they end, what is wanted is there again."""
    apply(defined, space, deployment(worker(), kubeconfig="none"))
    path = f"/apis/apps/v1/namespaces/{space}/deployments/d-worker"
    defined.until(lambda: custom(defined, space, "componentpools", "d-worker")["status"]["observedGeneration"])
    defined.until(lambda: defined.api.get(path))
    before = len(applied(defined, space))

    def rival() -> None:
        defined.api.patch(f"{path}?fieldManager=rival", {"spec": {"replicas": 3}})

    with following(rival, every_s=0.1):
        defined.until(lambda: "Deployment d-worker: rival changes it" in told(defined, space))
        time.sleep(FIGHT_S)
    assert 2 <= len(applied(defined, space)) - before <= MOST
    defined.until(lambda: defined.api.get(path)["spec"]["replicas"] == 1)
    defined.until(lambda: told(defined, space) == "")


def test_two_operators_that_differ_do_not_fight(defined: ControlPlane, operator: Running, space: str) -> None:
    """Somebody took the Lease away, and their images differ: of Deployments and of statuses there are few writes."""
    apply(defined, space, deployment(worker(), kubeconfig="none"))
    defined.until(lambda: custom(defined, space, "componentpools", "d-worker")["status"]["observedGeneration"])
    with other_operator(defined, space, "--image", "other"):
        defined.until(lambda: "another operator changes it" in told(defined, space))
        before, said = len(applied(defined, space)), len(writes(defined.audit_log, space))
        time.sleep(FIGHT_S)
        assert len(applied(defined, space)) - before <= 4 * MOST  # two operators, two Deployments
        assert len(writes(defined.audit_log, space)) - said < 250  # and what the statuses say of it


@contextmanager
def other_operator(plane: ControlPlane, space: str, *options: str) -> Iterator[None]:
    running = Running(plane, space, *options)
    try:
        yield
    finally:
        running.kill()


def applied(plane: ControlPlane, space: str) -> list[Write]:
    return [each for each in writes(plane.audit_log, space) if each.resource == "deployments"]


def told(plane: ControlPlane, space: str) -> str:
    return complaint(custom(plane, space, "componentpools", "d-worker"))
