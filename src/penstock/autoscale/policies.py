"""Which policy a component's spec asks for: exactly one owner, by type."""

from typing import Any

from penstock.autoscale.base import Policy
from penstock.autoscale.hpa import HpaPolicy
from penstock.autoscale.keda import KedaPolicy
from penstock.autoscale.long_history import NOTHING_BEFORE, LongHistory
from penstock.autoscale.none import ExternalPolicy, FixedPolicy
from penstock.autoscale.planner import PlannerPolicy
from penstock.errors import InputError
from penstock.messages.scaling_spec import HpaScaling, KedaScaling, planner_of
from penstock.messages.spec import ComponentSpec, DeploymentBody
from penstock.messages.worker import Role


def policy_for(spec: DeploymentBody, component: ComponentSpec, *, before: LongHistory = NOTHING_BEFORE) -> Policy[Any]:
    """The policy that owns this component's replicas.

    Args:
        before: demand before the run, as far as is known; only a planner reads it.
    Raises: InputError, for a planner on a frontend, which runs no engine to plan for, or on an engine that cannot run.
    """
    scaling = component.autoscaling
    if isinstance(scaling, HpaScaling):
        return HpaPolicy.of(scaling)
    planned = planner_of(scaling)
    if planned is not None:
        if component.role is Role.FRONTEND:
            raise InputError(
                f"components.{component.name}.autoscaling.by",
                "the planner rehearses engines and a frontend runs none",
                "use hpa with requestsPerSecond or cpuPercent",
            )
        return PlannerPolicy.of(spec, component, planned, before=before)
    if isinstance(scaling, KedaScaling):
        return KedaPolicy.of(scaling)
    if scaling.by == "external":
        return ExternalPolicy()
    return FixedPolicy(replicas=component.initial_replicas)
