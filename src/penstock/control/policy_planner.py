"""One ScalingPolicy's control loop: finds its target's pods, and runs the loop of everything else on them."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import aiohttp
import httpx2
from lightkube import AsyncClient
from pydantic import ValidationError

from penstock.autoscale.policies import policy_for
from penstock.control.clocks import MonotonicClock
from penstock.control.loop import Decisions, Listener, in_thread, run
from penstock.control.policy_status import PolicySeen, policy_status
from penstock.control.policy_world import PolicyWorld, write_status
from penstock.control.scale_target import ScaleTarget, labels_of
from penstock.control.stack_metrics import StackMetrics
from penstock.errors import InputError
from penstock.hardware.profiled import with_profile
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Mirror, Object, key_of
from penstock.messages.policy_spec import PolicyBody

log = logging.getLogger(__name__)

MANAGER = "penstock-planner"
_POD = kind_of("v1", "Pod")


async def plan_policy(
    client: AsyncClient,
    session: aiohttp.ClientSession,
    thing: Object,
    *,
    policy: Callable[[], Object | None],
    listeners: Sequence[Listener],
    dry_run: bool,
) -> None:
    """Plan until cancelled; return where that cannot be, once the status says why.

    Args:
        thing: the policy as it is planned. policy: as it is now.
    """
    namespace, name = key_of(thing)
    try:
        body = PolicyBody.model_validate(thing["spec"], by_alias=True, by_name=False)
        target = ScaleTarget(client, namespace, body.scale_target_ref, writer=MANAGER)
        scale = await target.read()
        labels: Mapping[str, str | None] = dict(body.metrics.selector) or labels_of(scale.selector)
        if not labels:
            raise InputError(
                "spec.metrics.selector", f"missing, and the scale of {target} selects no pods", "give their labels"
            )
        pool = body.pool(name)
        if body.model is not None:
            pool = with_profile(body.model, pool, path="spec")
        decider = policy_for(body.deployment(pool), pool)
    except (ValidationError, InputError) as error:
        await _tell(client, thing, policy() or thing, " ".join(str(error).split()))
        return
    except (httpx2.HTTPError, OSError) as error:
        log.warning("planning %s/%s: %s", namespace, name, type(error).__name__)
        return

    def mirror(labels: Mapping[str, str | None]) -> Mirror:
        return Mirror(client, _POD, namespace=namespace, labels=labels, changed=lambda _: None)

    pods = mirror(labels)
    front = body.metrics.frontend
    frontends = mirror(dict(front.selector)) if front is not None else None
    clock = MonotonicClock()
    world = PolicyWorld(
        body,
        name,
        decider.interval_s,
        StackMetrics(body.metrics.source, body.slo, clock, session),
        client,
        target,
        policy=policy,
        pods=lambda: pods,
        frontends=lambda: frontends if frontends is not None else _none(),
        manager=MANAGER,
        dry_run=dry_run,
    )
    log.info("planning %s for %s/%s", target, namespace, name)
    watched = [pods] if frontends is None else [pods, frontends]
    async with asyncio.TaskGroup() as group:
        for one in watched:
            group.create_task(one.run())
        while not all(one.listed for one in watched):  # noqa: ASYNC110 - once
            await asyncio.sleep(0.1)
        await run(world, Decisions({name: decider}), clock, listeners, decider=in_thread)


async def _tell(client: AsyncClient, thing: Object, policy: Object, trouble: str) -> None:
    """Why it is not planned."""
    log.warning("%s: %s", "/".join(key_of(thing)), trouble)
    second = (policy.get("status") or {}).get("secondOwner") or None
    seen = PolicySeen(target="", pool=None, decided=None, advising=None, second_owner=second, trouble=trouble)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    await write_status(client, policy, policy_status(policy, seen, now=now))


def _none() -> Iterable[Object]:
    return ()
