"""What a ScalingPolicy says of itself, and how its target's pods are found."""

from typing import Any

import pytest

from penstock.control.policy_status import PolicySeen, policy_status
from penstock.control.scale_target import labels_of
from penstock.errors import InputError
from penstock.kubernetes.plural import plural_of
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import PoolSeen, Sample, Signal

NOW = "2026-01-01T00:01:00Z"
POLICY: dict[str, Any] = {"metadata": {"name": "p", "generation": 3}}


def pool(ready: int = 2, **signals: float) -> PoolSeen:
    told = {Signal(name): Sample(value=value) for name, value in signals.items()}
    return PoolSeen(component="p", desired=2, starting=0, ready=ready, draining=0, signals=told)


def decision(desired: int) -> Decision:
    return Decision(
        time_s=1.0, component="p", policy="planner", current=2, desired=desired, limited_by=LimitedBy.NONE, reason="r"
    )


def said(policy: dict[str, Any] = POLICY, **seen: Any) -> dict[str, Any]:
    given = {"pool": pool(requests_per_s=3.0), "decided": None, "advising": None, "second_owner": None, "trouble": None}
    return policy_status(policy, PolicySeen(target="Deployment d", **(given | seen)), now=NOW)


def states(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def test_an_owner_that_has_figures_is_ready_and_scales() -> None:
    status = said(decided=decision(3))
    assert states(status) == {
        "Ready": ("True", "Measured"),
        "Scaling": ("True", "Owner"),
        "Degraded": ("False", "AsWanted"),
    }
    assert (status["current"], status["desired"], status["ready"], status["observedGeneration"]) == (2, 3, 2, 3)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({"advising": "mode: advise"}, {"Scaling": ("False", "Advising"), "Degraded": ("False", "AsWanted")}),
        ({"second_owner": "HPA h"}, {"Scaling": ("False", "SecondOwner"), "Degraded": ("True", "NeedsAttention")}),
        ({"trouble": "no such"}, {"Scaling": ("False", "Trouble"), "Degraded": ("True", "NeedsAttention")}),
        ({"pool": None}, {"Ready": ("False", "NotMeasured")}),
        ({"pool": pool(ready=0)}, {"Ready": ("False", "NotMeasured")}),
        ({"pool": pool()}, {"Ready": ("False", "NotMeasured"), "Degraded": ("False", "AsWanted")}),
    ],
)
def test_what_keeps_it_is_told(seen: dict[str, Any], expected: dict[str, tuple[str, str]]) -> None:
    assert expected.items() <= states(said(**seen)).items()


def test_a_status_stands_still_while_nothing_changes() -> None:
    """Another reason of the same decision is no news; a later look changes no instant."""
    first = said(decided=decision(3))
    again = policy_status(
        POLICY | {"status": first},
        PolicySeen(
            target="Deployment d",
            pool=pool(requests_per_s=4.0),
            decided=decision(3),
            advising=None,
            second_owner=None,
            trouble=None,
        ),
        now="2026-01-01T09:00:00Z",
    )
    assert again == first


def test_a_scales_selector_is_labels_or_has_to_be_given() -> None:
    assert labels_of("app=llama,tier==gpu, managed") == {"app": "llama", "tier": "gpu", "managed": None}
    assert labels_of("") == {}
    for selector in ("app!=llama", "app in (a,b)", "!managed"):
        with pytest.raises(InputError, match=r"metrics\.selector"):
            labels_of(selector)


def test_resources_are_called_by_the_plural_of_their_kind() -> None:
    """As their own definitions have it."""
    for kind, plural in (
        ("Deployment", "deployments"),
        ("LeaderWorkerSet", "leaderworkersets"),
        ("DynamoGraphDeploymentScalingAdapter", "dynamographdeploymentscalingadapters"),
        ("ScalingPolicy", "scalingpolicies"),
        ("Ingress", "ingresses"),
    ):
        assert plural_of(kind) == plural
