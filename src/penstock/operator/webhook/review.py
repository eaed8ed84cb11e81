"""What the API server asks before it writes: an AdmissionRequest in, a sentence that refuses it or None out. Pure.

Refused are second owners (`owners`), and writes of a count by somebody else than its owner: of a pool's `spec.replicas`
with `by: planner`, `hpa` or `keda`, through `scale` or not; of the Deployment below a pool by anyone but the operator;
of a ScalingPolicy's target by anyone but the planner. Who that is, is known by user names.

What changes nothing is let through, so that whoever repairs labels of a second owner that is there already is not kept
from it; and a count that is stated for the first time or taken back, which is how the operator hands a pool over.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.kubernetes.plural import plural_of
from penstock.operator.objects import GROUP
from penstock.operator.owners import (
    HPA,
    POLICY,
    SCALED_OBJECT,
    Known,
    Target,
    owner_named,
    pool_of,
    refusal,
    target_of,
    where_set,
)

Request = Mapping[str, Any]

_SCALERS = {
    ("autoscaling", "horizontalpodautoscalers"): HPA,
    ("keda.sh", "scaledobjects"): SCALED_OBJECT,
    (GROUP, "scalingpolicies"): POLICY,
}
_SCALED_KINDS = {(GROUP, "componentpools"): "ComponentPool", ("apps", "deployments"): "Deployment"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Writers:
    """User names of those that may own a count, as the API server knows them. Those of `hpa` write for `keda` too."""

    operator: frozenset[str]
    planner: frozenset[str]
    hpa: frozenset[str] = frozenset(
        {"system:serviceaccount:kube-system:horizontal-pod-autoscaler", "system:kube-controller-manager"}
    )
    keda: frozenset[str] = frozenset(
        {"system:serviceaccount:keda:keda-operator", "system:serviceaccount:kube-system:keda-operator"}
    )

    def of(self, by: str) -> frozenset[str] | None:
        """Who writes for an owner; None: anybody may."""
        owners = {"planner": self.planner, "hpa": self.hpa, "keda": self.keda | self.hpa}
        return owners.get(by)


def review(request: Request, known: Known, writers: Writers) -> str | None:
    """Why a request is refused; None, if it is not."""
    resource = request["resource"]["group"], request["resource"]["resource"]
    if request.get("subResource") == "scale":
        return _count(request, resource, known, writers)
    if request.get("subResource"):
        return None
    if resource in _SCALERS:
        return _scaler(request, _SCALERS[resource], known)
    if resource in _SCALED_KINDS and request["operation"] == "UPDATE":
        return _count(request, resource, known, writers)
    return None


def _scaler(request: Request, kind: str, known: Known) -> str | None:
    thing = _named(request)
    if thing["metadata"].get("deletionTimestamp"):
        return None
    before = request.get("oldObject")
    if before and target_of(kind, _named(request, before)) == target_of(kind, thing):
        return None
    return refusal(kind, thing, known)


def _named(request: Request, thing: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """The object, with the namespace that only the request may say."""
    thing = request["object"] if thing is None else thing
    return {**thing, "metadata": {"namespace": request.get("namespace", ""), **thing.get("metadata", {})}}


def _count(request: Request, resource: tuple[str, str], known: Known, writers: Writers) -> str | None:
    before, after = (
        ((request.get(which) or {}).get("spec") or {}).get("replicas") for which in ("oldObject", "object")
    )
    if before is None or after is None or before == after:
        return None
    namespace, name = request.get("namespace", ""), request.get("name", "")
    user = request.get("userInfo", {}).get("username", "")
    if (kind := _SCALED_KINDS.get(resource)) is not None:
        target = Target(namespace, resource[0], kind, name)
        pool = pool_of(target, known)
        if pool is not None and (sentence := _pools_count(request, target, pool, user, writers)) is not None:
            return sentence
    if user in writers.planner:
        return None
    for policy in known.scalers.get(POLICY, ()):
        if (policy.get("status") or {}).get("secondOwner"):
            continue  # the planner stands back for that one: if it could not write either, nobody would
        owned = target_of(POLICY, policy)
        if owned and (owned.namespace, owned.group, plural_of(owned.kind), owned.name) == (namespace, *resource, name):
            return (
                f"{owned}: spec.replicas: {user} may not write it, for ScalingPolicy {policy['metadata']['name']} "
                "owns it; change its min or max, or set its mode: advise"
            )
    return None


def _pools_count(request: Request, target: Target, pool: Mapping[str, Any], user: str, writers: Writers) -> str | None:
    name = pool["metadata"]["name"]
    if target.kind == "Deployment":
        if user in writers.operator:
            return None
        return (
            f"{target}: spec.replicas: {user} may not write it, for ComponentPool {name} owns it; "
            f"scale the pool: kubectl scale componentpool/{name}"
        )
    # An update of the pool itself may name another owner in the same write: that one counts.
    by = owner_named(pool if request.get("subResource") else request["object"])
    allowed = writers.of(by)
    if allowed is None or user in allowed:
        return None
    return (
        f"{target}: spec.replicas: {user} may not write it, for its owner is another, autoscaling.by: {by}; "
        f"change autoscaling.min or max, or set autoscaling.by: external, {where_set(pool)}"
    )
