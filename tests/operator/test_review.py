"""Who may own and who may write a count: requests of the API server, and what they are answered."""

from typing import Any

import pytest

from penstock.operator.owners import HPA, POLICY, SCALED_OBJECT, Known, second_owners
from penstock.operator.webhook.review import Writers, review

Thing = dict[str, Any]
PLANNER, OPERATOR = (
    "system:serviceaccount:penstock:penstock-planner",
    "system:serviceaccount:penstock:penstock-operator",
)
HPA_CONTROLLER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
KEDA = "system:serviceaccount:keda:keda-operator"
WRITERS = Writers(operator=frozenset({OPERATOR}), planner=frozenset({PLANNER}))
OWNERS = ("planner", "hpa", "keda", "external", "none")
SCALERS = {
    HPA: ("autoscaling", "horizontalpodautoscalers"),
    SCALED_OBJECT: ("keda.sh", "scaledobjects"),
    POLICY: ("penstock.dev", "scalingpolicies"),
}
POOL_TARGET = {"apiVersion": "penstock.dev/v1alpha1", "kind": "ComponentPool", "name": "d-worker"}
DEPLOYMENT_TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d-worker"}
OTHERS_TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}


def pool(by: str, replicas: int | None = 2) -> Thing:
    labels = {"penstock.dev/deployment": "d"}
    return {
        "metadata": {"name": "d-worker", "namespace": "n", "uid": "pool-uid", "labels": labels},
        "spec": {"replicas": replicas, "component": {"name": "worker", "autoscaling": {"by": by}}},
    }


def owned_by(kind: str, name: str, uid: str) -> list[Thing]:
    return [{"kind": kind, "name": name, "uid": uid, "controller": True}]


def below() -> Thing:
    return {
        "metadata": {
            "name": "d-worker",
            "namespace": "n",
            "ownerReferences": owned_by("ComponentPool", "d-worker", "pool-uid"),
        }
    }


def scaler(target: Thing, name: str = "mine", owners: list[Thing] | None = None, **spec: Any) -> Thing:
    meta: Thing = {"name": name, "namespace": "n", "ownerReferences": owners or []}
    return {"metadata": meta, "spec": {"scaleTargetRef": target, "mode": "owner", **spec}}  # read of policies only


def known(by: str = "planner", **scalers: list[Thing]) -> Known:
    return Known(
        pool={("n", "d-worker"): pool(by)}.get, deployment={("n", "d-worker"): below()}.get, scalers=dict(scalers)
    )


def asked(kind: str, thing: Thing, before: Thing | None = None) -> Thing:
    group, resource = SCALERS[kind]
    return {
        "resource": {"group": group, "resource": resource},
        "operation": "UPDATE" if before else "CREATE",
        "namespace": "n",
        "name": thing["metadata"]["name"],
        "object": thing,
        "oldObject": before,
        "userInfo": {"username": "alice"},
    }


def counted(group: str, resource: str, user: str, *, after: Thing, before: Thing, sub: str = "scale") -> Thing:
    return {
        "resource": {"group": group, "resource": resource},
        "subResource": sub,
        "operation": "UPDATE",
        "namespace": "n",
        "name": after.get("metadata", {}).get("name", "d-worker"),
        "object": after,
        "oldObject": before,
        "userInfo": {"username": user},
    }


def scale(replicas: int, name: str = "d-worker") -> Thing:
    return {"metadata": {"name": name}, "spec": {"replicas": replicas}}


@pytest.mark.parametrize("kind", SCALERS)
@pytest.mark.parametrize("by", OWNERS)
def test_a_scaler_of_somebodys_own_is_refused_on_a_pool_unless_its_owner_is_external(kind: str, by: str) -> None:
    said = review(asked(kind, scaler(POOL_TARGET)), known(by), WRITERS)
    if by == "external":
        assert said is None
        return
    assert said == (
        f"{kind} mine: spec.scaleTargetRef: ComponentPool d-worker has an owner, autoscaling.by: {by}; "
        f"set autoscaling.by: external of component worker in InferenceDeployment d, or delete this {kind}"
    )


@pytest.mark.parametrize("kind", SCALERS)
@pytest.mark.parametrize("by", OWNERS)
def test_the_deployment_below_a_pool_is_scaled_by_the_pool_alone(kind: str, by: str) -> None:
    said = review(asked(kind, scaler(DEPLOYMENT_TARGET)), known(by), WRITERS)
    assert said is not None
    assert said.startswith(f"{kind} mine: spec.scaleTargetRef: the count of Deployment d-worker is written by")
    assert "point to ComponentPool d-worker and set autoscaling.by: external of component worker" in said


def test_what_the_operator_made_and_what_keda_made_for_it_are_the_owners() -> None:
    ours = owned_by("ComponentPool", "d-worker", "pool-uid")
    of_keda = owned_by("ScaledObject", "d-worker", "so-uid")
    assert review(asked(HPA, scaler(POOL_TARGET, "d-worker", ours)), known("hpa"), WRITERS) is None
    assert review(asked(SCALED_OBJECT, scaler(POOL_TARGET, "d-worker", ours)), known("keda"), WRITERS) is None
    assert review(asked(HPA, scaler(POOL_TARGET, "keda-hpa-d-worker", of_keda)), known("keda"), WRITERS) is None
    # Each only for its own owner, and of the pool that is there now.
    stale = owned_by("ComponentPool", "d-worker", "an older pool")
    for kind, by, owners in ((HPA, "keda", ours), (HPA, "planner", of_keda), (HPA, "hpa", stale)):
        assert review(asked(kind, scaler(POOL_TARGET, "d-worker", owners)), known(by), WRITERS), (kind, by)


def test_of_two_that_somebody_brings_to_an_external_pool_the_second_is_refused() -> None:
    first, second = scaler(POOL_TARGET, "first"), scaler(POOL_TARGET, "second")
    said = review(asked(SCALED_OBJECT, second), known("external", **{HPA: [first]}), WRITERS)
    assert said is not None
    assert "ComponentPool d-worker is scaled by HorizontalPodAutoscaler first already" in said
    # The HPA that KEDA makes is its ScaledObject, not another.
    made = scaler(POOL_TARGET, "keda-hpa-first", owned_by("ScaledObject", "first", "u"))
    there = known("external", **{SCALED_OBJECT: [first], HPA: [made]})
    assert review(asked(HPA, made), there, WRITERS) is None
    assert review(asked(SCALED_OBJECT, first, scaler(OTHERS_TARGET, "first")), there, WRITERS) is None


def test_of_what_others_made_only_a_policy_of_ours_is_our_business() -> None:
    policy = scaler(OTHERS_TARGET, "policy", mode="owner")
    advice = scaler(OTHERS_TARGET, "policy", mode="advise")
    theirs = scaler(OTHERS_TARGET, "theirs")
    assert review(asked(HPA, theirs), known(**{HPA: [scaler(OTHERS_TARGET, "another")]}), WRITERS) is None
    assert review(asked(HPA, theirs), known(**{POLICY: [advice]}), WRITERS) is None
    assert review(asked(POLICY, advice), known(**{HPA: [theirs]}), WRITERS) is None
    said = review(asked(HPA, theirs), known(**{POLICY: [policy]}), WRITERS)
    assert said == (
        "HorizontalPodAutoscaler theirs: spec.scaleTargetRef: Deployment theirs is scaled by ScalingPolicy policy "
        "already; set mode: advise in ScalingPolicy policy, or delete one of the two"
    )
    assert review(asked(POLICY, policy, advice), known(**{HPA: [theirs], POLICY: [advice]}), WRITERS)
    assert review(asked(POLICY, scaler(OTHERS_TARGET, "other")), known(**{POLICY: [policy]}), WRITERS)


def test_who_changes_something_else_of_a_second_owner_is_let_through() -> None:
    """Else nobody could take the finalizers from one that came while the webhook was away."""
    there, going = scaler(POOL_TARGET), scaler(POOL_TARGET)
    going["metadata"]["deletionTimestamp"] = "now"
    assert review(asked(HPA, there, scaler(POOL_TARGET)), known(), WRITERS) is None
    assert review(asked(HPA, there, scaler(OTHERS_TARGET)), known(), WRITERS)
    assert review(asked(HPA, going), known(), WRITERS) is None


MAY_WRITE = {
    "planner": {PLANNER},
    "hpa": {HPA_CONTROLLER},
    "keda": {KEDA, HPA_CONTROLLER},
    "external": {"alice", PLANNER, HPA_CONTROLLER, KEDA, OPERATOR},
    "none": {"alice", PLANNER, HPA_CONTROLLER, KEDA, OPERATOR},
}


@pytest.mark.parametrize("by", OWNERS)
@pytest.mark.parametrize("user", ["alice", PLANNER, HPA_CONTROLLER, KEDA, OPERATOR])
def test_the_count_of_a_pool_is_written_by_its_owner(by: str, user: str) -> None:
    """Through `scale`, or in the pool itself."""
    through_scale = counted("penstock.dev", "componentpools", user, after=scale(5), before=scale(2))
    directly = counted("penstock.dev", "componentpools", user, after=pool(by, 5), before=pool(by, 2), sub="")
    for request in (through_scale, directly):
        said = review(request, known(by), WRITERS)
        assert (said is None) == (user in MAY_WRITE[by]), said
        if said is not None:
            assert said.startswith(f"ComponentPool d-worker: spec.replicas: {user} may not write it")
            assert f"autoscaling.by: {by}" in said


def test_a_pool_that_is_handed_over_begins_with_any_count() -> None:
    """The operator takes back what it stated, and states the first count of a pool that has none."""
    for before, after in ((pool("none", 2), pool("planner", None)), (pool("planner", None), pool("planner", 2))):
        request = counted("penstock.dev", "componentpools", OPERATOR, after=after, before=before, sub="")
        assert review(request, known("planner"), WRITERS) is None
    # Who names another owner in the same write is bound by that one.
    request = counted("penstock.dev", "componentpools", "alice", after=pool("external", 5), before=pool("hpa"), sub="")
    assert review(request, known("hpa"), WRITERS) is None


@pytest.mark.parametrize("sub", ["", "scale"])
def test_the_deployment_below_a_pool_is_written_by_the_operator(sub: str) -> None:
    for user, name, refused in (
        (OPERATOR, "d-worker", False),
        (HPA_CONTROLLER, "d-worker", True),
        ("alice", "d-worker", True),
        ("alice", "theirs", False),
    ):
        request = counted("apps", "deployments", user, after=scale(5, name), before=scale(2, name), sub=sub)
        said = review(request, known("external"), WRITERS)
        assert (said is not None) == refused
        if said:
            assert said.endswith("scale the pool: kubectl scale componentpool/d-worker")


def test_the_target_of_a_policy_is_written_by_the_planner() -> None:
    """Whatever its kind; in advise mode it is anybody's."""
    adapter = {"apiVersion": "nvidia.com/v1alpha1", "kind": "DynamoGraphDeploymentScalingAdapter", "name": "a-decode"}
    resource = ("nvidia.com", "dynamographdeploymentscalingadapters")
    for mode, user, refused in (("owner", "alice", True), ("owner", PLANNER, False), ("advise", "alice", False)):
        there = known(**{POLICY: [scaler(adapter, "p", mode=mode)]})
        request = counted(*resource, user, after=scale(5, "a-decode"), before=scale(2, "a-decode"))
        assert (review(request, there, WRITERS) is not None) == refused
        other = counted(*resource, user, after=scale(5, "b"), before=scale(2, "b"))
        assert review(other, there, WRITERS) is None


def test_the_count_of_a_target_for_which_the_planner_stands_back_is_the_others() -> None:
    """Else neither would write it."""
    adapter = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}
    policy = scaler(adapter, "p", mode="owner")
    request = counted("apps", "deployments", HPA_CONTROLLER, after=scale(5, "theirs"), before=scale(2, "theirs"))
    assert review(request, known(**{POLICY: [policy]}), WRITERS)
    assert review(request, known(**{POLICY: [policy | {"status": {"secondOwner": "HPA"}}]}), WRITERS) is None


def test_an_external_pool_that_a_policy_owns_is_written_by_the_planner() -> None:
    there = known("external", **{POLICY: [scaler(POOL_TARGET, "p", mode="owner")]})
    for user, refused in (("alice", True), (PLANNER, False)):
        request = counted("penstock.dev", "componentpools", user, after=scale(5), before=scale(2))
        assert (review(request, there, WRITERS) is not None) == refused


def test_a_write_that_changes_no_count_is_let_through() -> None:
    request = counted("penstock.dev", "componentpools", "alice", after=scale(2), before=scale(2))
    assert review(request, known(), WRITERS) is None


def test_second_owners_that_are_there_are_found_by_the_same_rule() -> None:
    """While nobody asked the webhook: on the pool, on its Deployment, and not what points elsewhere or is its own."""
    ours = owned_by("ComponentPool", "d-worker", "pool-uid")
    hpas = [scaler(POOL_TARGET, "a"), scaler(OTHERS_TARGET, "b"), scaler(POOL_TARGET, "d-worker", ours)]
    there = known("hpa", **{HPA: hpas, SCALED_OBJECT: [scaler(DEPLOYMENT_TARGET, "c")]})
    found = second_owners(pool("hpa"), there)
    assert [sentence.partition(":")[0] for sentence in found] == ["HorizontalPodAutoscaler a", "ScaledObject c"]
