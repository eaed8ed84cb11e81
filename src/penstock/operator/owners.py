"""One owner of a count: who owns that of a pool, of the Deployment below it, of a ScalingPolicy's target. Pure.

An HPA, a ScaledObject or a ScalingPolicy that points where another owns the count is a second owner, whoever made it:
two that write one count are how pools flap. Each is told in one sentence: which object, which field, who owns, and what
to do instead. The webhook refuses with it, and the operator says it of one that came while there was no webhook.

An HPA that KEDA made counts as its ScaledObject. A ScalingPolicy that only advises owns nothing. It knows no client.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.operator.objects import DEPLOYMENT_LABEL, GROUP
from penstock.operator.plan import owns

Object = Mapping[str, Any]
Key = tuple[str, str]  # namespace, name

HPA, SCALED_OBJECT, POLICY = "HorizontalPodAutoscaler", "ScaledObject", "ScalingPolicy"


@dataclass(frozen=True, slots=True)
class Target:
    """Whose count it is. Its version says nothing: the group does."""

    namespace: str
    group: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a cluster.

    Args:
        pool, deployment: one by namespace and name; of Deployments, those that pools own are enough.
        scalers: all by kind: HPA, SCALED_OBJECT, POLICY.
    """

    pool: Callable[[Key], Object | None]
    deployment: Callable[[Key], Object | None]
    scalers: Mapping[str, Iterable[Object]]


def target_of(kind: str, scaler: Object) -> Target | None:
    """Where a scaler points; None, if it does not say, or only advises."""
    spec = scaler.get("spec") or {}
    if kind == POLICY and spec.get("mode") != "owner":
        return None
    reference = spec.get("scaleTargetRef") or {}
    if not reference.get("name"):
        return None
    version = reference.get("apiVersion") or "apps/v1"  # KEDA's defaults; the other kinds state theirs
    group = version.rpartition("/")[0]
    return Target(
        namespace=scaler["metadata"].get("namespace", ""),
        group=group,
        kind=reference.get("kind") or "Deployment",
        name=reference["name"],
    )


def pool_of(target: Target, known: Known) -> Object | None:
    """The ComponentPool that a target is, or that owns it."""
    key = target.namespace, target.name
    if (target.group, target.kind) == (GROUP, "ComponentPool"):
        return known.pool(key)
    if (target.group, target.kind) == ("apps", "Deployment"):
        pool, deployment = known.pool(key), known.deployment(key)  # the two have one name
        if pool is not None and deployment is not None and owns(pool, deployment):
            return pool
    return None


def owner_named(pool: Object) -> str:
    """Who owns a pool's count: `autoscaling.by`."""
    return str((pool["spec"]["component"].get("autoscaling") or {}).get("by", "none"))


def where_set(pool: Object) -> str:
    """Where its owner is named, as its user would look for it."""
    deployment = (pool["metadata"].get("labels") or {}).get(DEPLOYMENT_LABEL)
    component = pool["spec"]["component"].get("name", "")
    if deployment is None:
        return f"of ComponentPool {pool['metadata']['name']}"
    return f"of component {component} in InferenceDeployment {deployment}"


def refusal(kind: str, scaler: Object, known: Known) -> str | None:
    """Why a scaler is a second owner; None, if it is the only one, or no business of ours."""
    target = target_of(kind, scaler)
    if target is None:
        return None
    name = scaler["metadata"].get("name", "")
    subject = f"{kind} {name}: spec.scaleTargetRef: "
    pool = pool_of(target, known)
    if pool is None:
        return _on_what_others_made(kind, scaler, target, subject, known)
    pool_name = pool["metadata"]["name"]
    by, where = owner_named(pool), where_set(pool)
    if target.kind == "Deployment":
        return (
            f"{subject}the count of {target} is written by ComponentPool {pool_name} alone, which owns it; "
            f"point to ComponentPool {pool_name} and set autoscaling.by: external {where}, or delete this {kind}"
        )
    if by == "external":
        other = next(_others(kind, scaler, target, known), None)
        if other is None:
            return None
        return f"{subject}{target} is scaled by {other} already; delete one of the two"
    if _made_for(pool, by, kind, scaler):
        return None
    return (
        f"{subject}{target} has an owner, autoscaling.by: {by}; "
        f"set autoscaling.by: external {where}, or delete this {kind}"
    )


def second_owners(pool: Object, known: Known) -> list[str]:
    """Why each second owner of a pool that there is, is one."""
    key = pool["metadata"].get("namespace", ""), pool["metadata"]["name"]
    sentences = []
    for kind, scalers in known.scalers.items():
        for scaler in scalers:
            target = target_of(kind, scaler)
            if target is None or (target.namespace, target.name) != key or pool_of(target, known) is None:
                continue
            sentence = refusal(kind, scaler, known)
            if sentence is not None:
                sentences.append(sentence)
    return sorted(sentences)


def _on_what_others_made(kind: str, scaler: Object, target: Target, subject: str, known: Known) -> str | None:
    """Ours to say only where a ScalingPolicy is one of the two."""
    for sort, name in _owners_but(kind, scaler, target, known):
        if POLICY not in (kind, sort):
            continue
        fix = f"set mode: advise in ScalingPolicy {name if sort == POLICY else scaler['metadata'].get('name', '')}"
        return f"{subject}{target} is scaled by {sort} {name} already; {fix}, or delete one of the two"
    return None


def _others(kind: str, scaler: Object, target: Target, known: Known) -> Iterator[str]:
    return (f"{sort} {name}" for sort, name in _owners_but(kind, scaler, target, known))


def _owners_but(kind: str, scaler: Object, target: Target, known: Known) -> Iterator[tuple[str, str]]:
    """Kind and name of all that point there, but of the one that asks."""
    mine = _whose(kind, scaler)
    for sort in (POLICY, SCALED_OBJECT, HPA):
        for other in known.scalers.get(sort, ()):
            if target_of(sort, other) == target and (its := _whose(sort, other)) != mine:
                yield its


def _whose(kind: str, scaler: Object) -> tuple[str, str]:
    """A scaler by kind and name; an HPA that KEDA made is its ScaledObject."""
    if kind == HPA:
        for reference in scaler["metadata"].get("ownerReferences") or ():
            if reference.get("controller") and reference["kind"] == SCALED_OBJECT:
                return SCALED_OBJECT, reference["name"]
    return kind, scaler["metadata"].get("name", "")


def _made_for(pool: Object, by: str, kind: str, scaler: Object) -> bool:
    """Whether it is the one that the operator made for the pool, or that KEDA made for that."""
    if (by, kind) in (("hpa", HPA), ("keda", SCALED_OBJECT)):
        return owns(pool, scaler)
    return by == "keda" and kind == HPA and _whose(kind, scaler) == (SCALED_OBJECT, pool["metadata"]["name"])
