"""The world of a ScalingPolicy: the pods of something that others made, and its scale.

As in `cluster_world` each pod is asked once a second; there is no gateway of ours, so what the engines, or Dynamo's
frontends, count is read as a gateway's (`stacks`). The count is read from the scale and written to it, in mode `owner`,
unless the operator found that another owns it too: then, and in mode `advise`, an Event says each new advice.

Where a count is to be told to another who owns the scale, as to KEDA, `_write` is the place.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.types import PatchType

from penstock.clock import Clock
from penstock.control import gateway_view
from penstock.control.cluster_pods import ClusterPod, parse_pod
from penstock.control.exposition import Scrape, parse_exposition
from penstock.control.gateway_view import GatewayView
from penstock.control.health import scrape
from penstock.control.policy_status import PolicySeen, policy_status
from penstock.control.pool_pods import PoolPods
from penstock.control.scale_target import Scale, ScaleTarget
from penstock.control.stacks import DYNAMO_FRONTEND, DYNAMO_WORKER, SGLANG, VLLM, Names, Translator
from penstock.control.summed_scrapes import SummedScrapes
from penstock.errors import InputError
from penstock.kubernetes.events import event_about
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Object, key_of
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation, PoolSeen
from penstock.messages.policy_spec import PolicyBody
from penstock.messages.worker import WorkerState

log = logging.getLogger(__name__)

API_VERSION, KIND = "penstock.dev/v1alpha1", "ScalingPolicy"
READ_SCALE_S = 2.0
_POLICY = kind_of(API_VERSION, KIND)
_EVENT = kind_of("v1", "Event")
_STACKS: Mapping[str, tuple[Names, Names | None]] = {
    "vllm": (VLLM, None),
    "sglang": (SGLANG, None),
    "dynamo": (DYNAMO_WORKER, DYNAMO_FRONTEND),
}
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
        clock: Clock,
        session: aiohttp.ClientSession,
        client: AsyncClient,
        target: ScaleTarget,
        *,
        policy: Callable[[], Object | None],
        pods: Callable[[], Iterable[Object]],
        frontends: Callable[[], Iterable[Object]],
        manager: str,
        dry_run: bool = False,
    ) -> None:
        self._body, self._interval_s, self._clock = body, interval_s, clock
        self._session, self._client, self._target = session, client, target
        self._policy, self._pods, self._frontends = policy, pods, frontends
        self._manager, self._dry_run = manager, dry_run
        self._engines, self._front = _STACKS[body.metrics.source]
        self._pool_pods = PoolPods(name, body.engine.startup)
        self._gateways = SummedScrapes(gateway_view.RECEIVED)
        self._gateway_view = GatewayView(body.slo)
        self._translators: dict[str, Translator] = {}
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
        pods = _parsed(self._pods(), self._pool_pods.name, self._body.metrics.port, now)
        self._pool_pods.saw(pods, now_s)
        if self._front is None:
            fronts = pods
            heard = await asyncio.gather(*(self._read_engine(pod) for pod in pods if _serves(pod)))
        else:
            assert self._body.metrics.frontend is not None
            fronts = _parsed(self._frontends(), self._pool_pods.name, self._body.metrics.frontend.port, now)
            reads = (self._read_front(pod, self._front) for pod in fronts if _serves(pod))
            heard, _ = await asyncio.gather(
                asyncio.gather(*reads), asyncio.gather(*(self._read_engine(pod) for pod in pods if _serves(pod)))
            )
        there = {pod.uid for pod in (*pods, *fronts)}
        self._translators = {uid: one for uid, one in self._translators.items() if uid in there}
        self._gateways.only(pod.uid for pod in fronts)
        if heard and all(heard):  # else the sum lacks one, which would look like less demand: it grows old instead
            self._gateway_view.read(self._clock.now_s(), self._gateways.together())
        seen = None
        if self._scale is not None:
            signals = self._gateway_view.signals(now_s, self._interval_s)
            seen = self._pool_pods.seen(self._scale.replicas, signals, now_s)
        self._seen = seen
        await self._tell()
        return Observation(time_s=now_s, pools=() if seen is None else (seen,), totals=self._gateway_view.totals())

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

    async def _read_engine(self, pod: ClusterPod) -> bool:
        """Returns: whether it answered."""
        said = await self._ask(pod, self._engines)
        view = self._pool_pods.view(pod)
        if view is not None:
            view.read(self._clock.now_s(), said)
        if self._front is None:
            self._gateways.take(pod.uid, said)
        return bool(said.series)

    async def _read_front(self, pod: ClusterPod, names: Names) -> bool:
        said = await self._ask(pod, names)
        self._gateways.take(pod.uid, said)
        return bool(said.series)

    async def _ask(self, pod: ClusterPod, names: Names) -> Scrape:
        assert pod.url is not None
        text = await scrape(self._session, pod.url)
        if text is None:
            return Scrape()
        translator = self._translators.setdefault(pod.uid, Translator(names))
        return translator.ours(parse_exposition(text, names.wanted))

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


def _serves(pod: ClusterPod) -> bool:
    return pod.state is WorkerState.READY and pod.url is not None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
