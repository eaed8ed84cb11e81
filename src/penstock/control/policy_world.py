"""The world of a ScalingPolicy: the pods of something that others made, and its scale.

There is no gateway of ours, so what the engines, or Dynamo's frontends, count is read as a gateway's (`stack_metrics`).
The count is read from the scale and written to it, in mode `owner`,
unless the operator found that another owns it too: then, and in mode `advise`, an Event says each new advice.

Where a count is to be told to another who owns the scale, as to KEDA, `_write` is the place.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.types import PatchType

from penstock.control.cluster_pods import ClusterPod, parse_pod
from penstock.control.pod_metrics import Metrics
from penstock.control.policy_status import PolicySeen, policy_status
from penstock.control.pool_pods import PoolPods
from penstock.control.scale_target import Scale, ScaleTarget
from penstock.errors import InputError
from penstock.kubernetes.events import event_about
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Object, key_of
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation, PoolSeen
from penstock.messages.policy_spec import PolicyBody

log = logging.getLogger(__name__)

API_VERSION, KIND = "penstock.dev/v1alpha1", "ScalingPolicy"
READ_SCALE_S = 2.0
_POLICY = kind_of(API_VERSION, KIND)
_EVENT = kind_of("v1", "Event")
_LABEL = "penstock.dev/policy-target"  # no pod has it: all that are given here are the target's


class PolicyWorld:
    """One ScalingPolicy (`control.loop.World`).

    Args:
        policy: the object as it is now; None, if it is gone.
        pods: the target's, now. frontends: Dynamo's, now; none for other stacks.
        dry_run: advise only, whatever its mode.
    """

    def __init__(
        self,
        body: PolicyBody,
        name: str,
        interval_s: float,
        metrics: Metrics,
        client: AsyncClient,
        target: ScaleTarget,
        *,
        policy: Callable[[], Object | None],
        pods: Callable[[], Iterable[Object]],
        frontends: Callable[[], Iterable[Object]],
        manager: str,
        dry_run: bool = False,
    ) -> None:
        self._body, self._metrics = body, metrics
        self._client, self._target = client, target
        self._policy, self._pods, self._frontends = policy, pods, frontends
        self._manager, self._dry_run = manager, dry_run
        self._pool_pods = PoolPods(name, body.engine.startup, metrics, interval_s=interval_s)
        self._scale: Scale | None = None
        self._scale_read_s = 0.0
        self._seen: PoolSeen | None = None
        self._decided: Decision | None = None
        self._advised: int | None = None
        self._read_trouble: str | None = None
        self._write_trouble: str | None = None

    async def observe(self, now_s: float) -> Observation:
        """Look at the scale and the pods, and ask those that serve. Without a scale there is nothing to decide."""
        await self._read_scale(now_s)
        now = datetime.now(UTC)
        metrics, name = self._body.metrics, self._pool_pods.name
        pods = _parsed(self._pods(), name, metrics.port, now)
        fronts = [] if metrics.frontend is None else _parsed(self._frontends(), name, metrics.frontend.port, now)
        self._pool_pods.saw(pods, now_s)
        await self._metrics.look(fronts, pods, now_s)
        seen = None
        if self._scale is not None:
            seen = self._pool_pods.seen(self._scale.replicas, now_s)
        self._seen = seen
        await self._tell()
        return Observation(time_s=now_s, pools=() if seen is None else (seen,), totals=self._metrics.totals())

    async def act(self, decisions: Sequence[Decision]) -> None:
        """Write the count, or say what it should be."""
        for decision in decisions:
            self._decided = decision
            if decision.desired == decision.current:
                self._advised = self._write_trouble = None
            elif self._advises() is None and self._second_owner() is None:
                await self._write(decision)
            elif self._advised != decision.desired:
                self._advised = decision.desired
                await self._event(decision, "Advised", "would scale")

    # --- seeing

    async def _read_scale(self, now_s: float) -> None:
        if self._scale is not None and now_s - self._scale_read_s < READ_SCALE_S:
            return
        try:
            self._scale, self._read_trouble = await self._target.read(), None
            self._scale_read_s = now_s
        except InputError as error:
            self._scale, self._read_trouble = None, str(error)
        except (httpx2.HTTPError, OSError) as error:  # what was read last stays
            log.warning("scale of %s: %s", self._target, type(error).__name__)

    # --- acting

    def _advises(self) -> str | None:
        """Why it only advises, whoever else there is; None, if it would write."""
        if self._body.mode == "advise":
            return "mode: advise"
        return "the planner runs with --dry-run" if self._dry_run else None

    def _second_owner(self) -> str | None:
        """What the operator found, as the policy is now."""
        policy = self._policy()
        if policy is None:
            return "the policy is gone"
        return (policy.get("status") or {}).get("secondOwner") or None

    async def _write(self, decision: Decision) -> None:
        try:
            await self._target.write(decision.desired)
        except InputError as error:
            self._write_trouble = str(error)
            log.warning("%s: %s", self._target, error)
            return
        except (httpx2.HTTPError, OSError) as error:  # it is decided again at its next turn
            log.warning("scaling %s to %d: %s", self._target, decision.desired, type(error).__name__)
            return
        self._write_trouble = None
        if self._scale is not None:
            self._scale = replace(self._scale, replicas=decision.desired)
        await self._event(decision, "Scaled", "scaled")

    async def _event(self, decision: Decision, reason: str, verb: str) -> None:
        log.info("%s: %s", self._target, decision.reason)
        policy = self._policy()
        if policy is None:
            return
        message = f"{verb} {self._target} from {decision.current} to {decision.desired}: {decision.reason}"
        about = event_about(
            *(API_VERSION, KIND, policy), reason=reason, message=message, by=self._manager, now=datetime.now(UTC)
        )
        await self._client.create(_EVENT.from_dict(about))

    async def _tell(self) -> None:
        """Write the status, if it says anything new."""
        policy = self._policy()
        if policy is None:
            return
        seen = PolicySeen(
            target=str(self._target),
            pool=self._seen,
            decided=self._decided,
            advising=self._advises(),
            second_owner=self._second_owner(),
            trouble=self._read_trouble or self._write_trouble,
        )
        await write_status(self._client, policy, policy_status(policy, seen, now=_now()))


async def write_status(client: AsyncClient, policy: Object, status: Mapping[str, Any]) -> None:
    """Write the planner's part of a policy's status, if it says anything new. One that fails is written again later."""
    before = policy.get("status") or {}
    if all(before.get(field) == value for field, value in status.items()):
        return
    namespace, name = key_of(policy)
    try:
        await client.patch(
            _POLICY.Status, name, {"status": dict(status)}, namespace=namespace, patch_type=PatchType.MERGE
        )
    except (httpx2.HTTPError, OSError) as error:
        said = error.status.message if isinstance(error, ApiError) else type(error).__name__
        log.warning("status of %s: %s", name, said)


def _parsed(pods: Iterable[Object], name: str, port: int, now: datetime) -> list[ClusterPod]:
    found = []
    for pod in pods:
        labels = {**(pod["metadata"].get("labels") or {}), _LABEL: name}
        ours = {**pod, "metadata": {**pod["metadata"], "labels": labels}}
        parsed = parse_pod(ours, component_label=_LABEL, port=port, now=now)
        if parsed is not None:
            found.append(parsed)
    return found


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
