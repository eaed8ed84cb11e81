"""The operator, killed again and again while requests stream and the deployment changes."""

import os
import random
import time
from collections.abc import Callable

import pytest
from control_plane import ControlPlane
from deployments import NODE, PENSTOCK, apply, custom, deployment, gateway_of, is_as_rendered, is_ready, worker
from machine_set import MachineSet
from running_operator import Running
from steady_load import Load
from test_definitions import defined as defined

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first build takes minutes

KILLS = int(os.environ.get("PENSTOCK_KILLS", "10"))
SEED = int(os.environ.get("PENSTOCK_KILL_SEED", "1"))
LONGEST_S = 1.5  # that one lives; its first look is done after half of that


@pytest.mark.parametrize("seed", [SEED])  # so that a failure names it
def test_kills_lose_no_request_and_end_in_the_same_state(
    defined: ControlPlane, machines: Callable[..., MachineSet], operator: Running, space: str, seed: int
) -> None:
    """It keeps nothing of its own, so whoever comes next goes on where it was; who serves does not need it."""
    draw = random.Random(seed)
    machines(nodes=[NODE], images={"penstock": PENSTOCK})
    engine = {"stepTime": {"baseSeconds": 0.02}}

    def wanted(replicas: int) -> dict[str, object]:
        return deployment(worker(replicas=replicas, engine=engine), kubeconfig=str(defined.kubeconfig))

    apply(defined, space, wanted(2))
    defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
    with Load(defined, space, gateway_of(defined, space), per_s=2, for_s=2 * KILLS, output_tokens=50) as load:
        for _ in range(KILLS):
            last = wanted(draw.randint(1, 3))
            apply(defined, space, last)
            time.sleep(draw.uniform(0, LONGEST_S))
            operator.kill()
            operator.begin()
        load.lost_nothing()
    defined.until(lambda: is_as_rendered(defined, space, last))
    defined.until(lambda: is_ready(custom(defined, space, "inferencedeployments", "d")), 120)
